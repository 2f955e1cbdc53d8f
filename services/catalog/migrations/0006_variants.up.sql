-- Kinds of a product that are in stock by themselves, in the order in which they were added: a part of
-- the product, read and changed together with it (services/catalog/src/variant.rs).
ALTER TABLE products ADD COLUMN variants jsonb NOT NULL DEFAULT '[]'
    CHECK (jsonb_typeof(variants) = 'array');

-- Whose a SKU is, be it a product's own or a variant's. It stays so for ever, also when the variant or
-- the product has gone: see docs/decisions/0051-variants.md. Hence no foreign key.
CREATE TABLE skus (
    sku        text COLLATE "C" PRIMARY KEY,
    product_id uuid NOT NULL
);
CREATE INDEX skus_of_product ON skus (product_id);

-- In the database and not in the program, because programs of the release before go on writing while
-- this one is rolled out. Sorted, so that two who want the same SKUs cannot deadlock: the second waits
-- for the first, and then sees whose they are.
CREATE FUNCTION take_skus() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wanted text[] := ARRAY(
        SELECT NEW.sku UNION SELECT variant ->> 'sku' FROM jsonb_array_elements(NEW.variants) AS variant
    );
    other text;
BEGIN
    INSERT INTO skus (sku, product_id)
    SELECT sku, NEW.id FROM unnest(wanted) AS sku ORDER BY sku COLLATE "C"
    ON CONFLICT DO NOTHING;
    SELECT sku INTO other FROM skus WHERE sku = ANY (wanted) AND product_id <> NEW.id LIMIT 1;
    IF FOUND THEN
        RAISE unique_violation USING
            MESSAGE = format('the SKU %s is another product''s', other), CONSTRAINT = 'skus_pkey';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER products_take_skus AFTER INSERT OR UPDATE OF sku, variants ON products
    FOR EACH ROW EXECUTE FUNCTION take_skus();
INSERT INTO skus (sku, product_id) SELECT sku, id FROM products;

-- A search finds a product by the SKUs and names of its variants too. Postgres cannot change what a
-- column is made of; this rewrites the table once.
ALTER TABLE products DROP COLUMN search;
ALTER TABLE products ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
    setweight(to_tsvector('english', name), 'A')
    || setweight(to_tsvector('english', sku), 'A')
    || setweight(jsonb_to_tsvector('english', jsonb_path_query_array(variants, '$[*].sku'), '["string"]'), 'A')
    || setweight(jsonb_to_tsvector('english', jsonb_path_query_array(variants, '$[*].name'), '["string"]'), 'B')
    || setweight(to_tsvector('english', description), 'C')
    || setweight(jsonb_to_tsvector('english', attributes, '["string"]'), 'D')
) STORED;
CREATE INDEX products_search ON products USING gin (search);

-- What is misspelt may have been meant as a word of a variant's name.
CREATE OR REPLACE FUNCTION learn_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO words
    SELECT word FROM (
        SELECT words_of(NEW.name, NEW.attributes) AS word
        UNION
        SELECT words_of(variant ->> 'name', '{}') FROM jsonb_array_elements(NEW.variants) AS variant
    ) learnt ORDER BY word COLLATE "C"
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
DROP TRIGGER products_learn_words ON products;
CREATE TRIGGER products_learn_words AFTER INSERT OR UPDATE OF name, attributes, variants ON products
    FOR EACH ROW EXECUTE FUNCTION learn_words();
