-- A trusted extension: a plain role may add it to a database that it owns. Where an administrator
-- has added it before, this does nothing.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- The words that names and attributes of products have had: what a misspelt word may have meant.
-- Those that no product has any more stay and do no harm: they find nothing.
CREATE TABLE words (word text COLLATE "C" PRIMARY KEY);
CREATE INDEX words_by_likeness ON words USING gist (word gist_trgm_ops (siglen = 32));

-- Shorter words are never respelt (services/catalog/src/spelling.rs), and nobody types longer ones.
CREATE FUNCTION words_of(name text, attributes jsonb) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT DISTINCT word
    FROM (
        SELECT name AS phrase UNION ALL SELECT value FROM jsonb_each_text(attributes)
    ) phrases, regexp_split_to_table(lower(phrase COLLATE "und-x-icu"), '[^[:alpha:]]+') AS word
    WHERE length(word) BETWEEN 4 AND 40
$$;

-- In the database and not in the program, because programs of the release before go on writing
-- while this one is rolled out. In order, so that two who learn the same words cannot deadlock.
CREATE FUNCTION learn_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO words
    SELECT word FROM words_of(NEW.name, NEW.attributes) AS word ORDER BY word COLLATE "C"
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER products_learn_words AFTER INSERT OR UPDATE OF name, attributes ON products
    FOR EACH ROW EXECUTE FUNCTION learn_words();

INSERT INTO words
SELECT DISTINCT word FROM products, words_of(name, attributes) AS word;
