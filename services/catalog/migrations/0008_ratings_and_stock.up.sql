-- What other services tell of a product, for filters and sorts. It is no part of what the product is:
-- its version does not change.
ALTER TABLE products
    ADD COLUMN rating_count   bigint NOT NULL DEFAULT 0,
    ADD COLUMN rating_sum     bigint NOT NULL DEFAULT 0,
    -- Which news the sums are from; later ones have a greater number.
    ADD COLUMN rating_version bigint NOT NULL DEFAULT 0,
    -- From 1 to 5; 0 while nobody has rated it.
    ADD COLUMN rating         real NOT NULL GENERATED ALWAYS AS (
        CASE WHEN rating_count > 0 THEN (rating_sum::float8 / rating_count)::real ELSE 0 END) STORED,
    -- Whether there are units of it or of one of its variants.
    ADD COLUMN in_stock       boolean NOT NULL DEFAULT true;
CREATE INDEX products_by_rating ON products (rating, id) WHERE on_sale;

-- The SKUs of which there are units, be they known here or not.
CREATE TABLE stocked (sku text COLLATE "C" PRIMARY KEY);

-- What was told before this table was there nobody tells again: products of today count as in stock until
-- they are told to be sold out. A new one is in stock when inventory says so.
INSERT INTO stocked SELECT sku FROM products;
ALTER TABLE products ALTER COLUMN in_stock SET DEFAULT false;
