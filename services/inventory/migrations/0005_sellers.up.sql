-- Who sells a product, and so manages its stock. A product of before has no row until the catalog is asked.
-- Kept by product, not by SKU: a SKU that passes to another product passes to its seller, whichever version moves it.
CREATE TABLE products (
    id        uuid PRIMARY KEY,
    seller_id uuid NOT NULL
);
CREATE INDEX products_of_seller ON products (seller_id);
