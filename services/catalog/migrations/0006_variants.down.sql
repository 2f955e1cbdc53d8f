DROP TRIGGER products_learn_words ON products;
CREATE OR REPLACE FUNCTION learn_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO words
    SELECT word FROM words_of(NEW.name, NEW.attributes) AS word ORDER BY word COLLATE "C"
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER products_learn_words AFTER INSERT OR UPDATE OF name, attributes ON products
    FOR EACH ROW EXECUTE FUNCTION learn_words();

ALTER TABLE products DROP COLUMN search;
ALTER TABLE products ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
    setweight(to_tsvector('english', name), 'A')
    || setweight(to_tsvector('english', sku), 'A')
    || setweight(to_tsvector('english', description), 'C')
    || setweight(jsonb_to_tsvector('english', attributes, '["string"]'), 'D')
) STORED;
CREATE INDEX products_search ON products USING gin (search);

DROP TRIGGER products_take_skus ON products;
DROP FUNCTION take_skus;
DROP TABLE skus;
ALTER TABLE products DROP COLUMN variants;
