CREATE TABLE categories (
    slug   text PRIMARY KEY CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    name   text NOT NULL,
    parent text REFERENCES categories (slug)
);
CREATE INDEX categories_parent ON categories (parent);

-- Version grows by one with every change and never goes back: the cache relies on it.
CREATE TABLE products (
    id          uuid PRIMARY KEY,
    sku         text NOT NULL UNIQUE,
    -- Sorted as people expect in most languages, whatever the locale of the server.
    name        text COLLATE "und-x-icu" NOT NULL,
    description text NOT NULL,
    -- Minor units.
    price       bigint NOT NULL CHECK (price > 0),
    currency    text NOT NULL,
    attributes  jsonb NOT NULL CHECK (jsonb_typeof(attributes) = 'object'),
    category    text NOT NULL REFERENCES categories (slug),
    seller_id   uuid NOT NULL,
    on_sale     boolean NOT NULL,
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    search      tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', name), 'A')
        || setweight(to_tsvector('english', sku), 'A')
        || setweight(to_tsvector('english', description), 'C')
        || setweight(jsonb_to_tsvector('english', attributes, '["string"]'), 'D')
    ) STORED
);
CREATE INDEX products_search ON products USING gin (search);
-- One index for each way to sort what shoppers see.
CREATE INDEX products_newest ON products (created_at, id) WHERE on_sale;
CREATE INDEX products_by_price ON products (price, id) WHERE on_sale;
CREATE INDEX products_by_name ON products (name, id) WHERE on_sale;
