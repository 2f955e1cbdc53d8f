-- The language that products are searched in: of the shop, not of each product. One row, which the service writes when it
-- starts (services/catalog/src/language.rs). A name and no regconfig, which pg_upgrade does not take.
CREATE TABLE search_settings (
    is_only  boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    language text COLLATE "C" NOT NULL
);
INSERT INTO search_settings (language) VALUES ('english');

-- The language that a product is indexed in; another one than that of the searches until it is indexed again.
ALTER TABLE products ADD COLUMN search_language text COLLATE "C" NOT NULL DEFAULT 'english';
CREATE INDEX products_by_search_language ON products (search_language);

-- In the database and not in the program, because programs of the release before go on writing while this one is rolled
-- out. Updates keep the language: a trigger for them would index a product at each change of its stock.
CREATE FUNCTION set_search_language() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.search_language := (SELECT language FROM search_settings);
    RETURN NEW;
END
$$;
CREATE TRIGGER products_set_search_language BEFORE INSERT ON products
    FOR EACH ROW EXECUTE FUNCTION set_search_language();

-- Immutable, because a qualified name means the same whatever the search path is. What a generated column calls must name
-- nothing outside pg_catalog (0011).
CREATE FUNCTION search_vector(language text, phrase text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN to_tsvector(('pg_catalog.' || language)::regconfig, phrase);
END
$$;
CREATE FUNCTION search_vector(language text, strings jsonb) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN jsonb_to_tsvector(('pg_catalog.' || language)::regconfig, strings, '["string"]');
END
$$;

-- What searches are in.
CREATE FUNCTION search_configuration() RETURNS regconfig LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT ('pg_catalog.' || language)::regconfig FROM search_settings
$$;

-- Without stop words that have accents (für, à): folded, they are none. Phrases in quotes stay whole.
CREATE FUNCTION search_meant(language regconfig, typed text) RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(typed) = length(typed) OR typed LIKE '%"%' THEN typed ELSE (
        SELECT coalesce(string_agg(word, ' ' ORDER BY place), '')
        FROM regexp_split_to_table(typed, '\s+') WITH ORDINALITY AS words (word, place)
        WHERE octet_length(word) = length(word) OR numnode(plainto_tsquery(language, word)) > 0
    ) END
$$;

-- What a search looks for, as in 0011.
CREATE OR REPLACE FUNCTION search_query(typed text) RETURNS tsquery LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN german = plain THEN websearch_to_tsquery(language, plain)
        ELSE websearch_to_tsquery(language, plain) || websearch_to_tsquery(language, german) END
    FROM (
        SELECT language, search_folded(meant) AS plain, search_folded(search_digraphs(meant)) AS german
        FROM (SELECT language, search_meant(language, typed) AS meant FROM search_configuration() AS language) AS words
    ) AS forms
$$;

-- Postgres cannot change what a column is made of; this rewrites the table once.
ALTER TABLE products DROP COLUMN search;
ALTER TABLE products ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
    setweight(search_vector(search_language, name), 'A')
    || setweight(search_vector(search_language, sku), 'A')
    || setweight(search_vector(search_language, jsonb_path_query_array(variants, '$[*].sku')), 'A')
    || setweight(search_vector(search_language, jsonb_path_query_array(variants, '$[*].name')), 'B')
    || setweight(search_vector(search_language, description), 'C')
    || setweight(search_vector(search_language, attributes), 'D')
    || setweight(search_vector(search_language,
           coalesce(nullif(search_folded(name), lower(name COLLATE "und-x-icu")), '') || ' '
           || coalesce(nullif(search_folded(search_digraphs(name)), search_folded(name)), '') || ' '
           || search_bigrams(name)), 'A')
    || setweight(search_vector(search_language,
           coalesce(nullif(search_folded(jsonb_path_query_array(variants, '$[*].name')::text), lower(jsonb_path_query_array(variants, '$[*].name')::text COLLATE "und-x-icu")), '') || ' '
           || coalesce(nullif(search_folded(search_digraphs(jsonb_path_query_array(variants, '$[*].name')::text)), search_folded(jsonb_path_query_array(variants, '$[*].name')::text)), '') || ' '
           || search_bigrams(jsonb_path_query_array(variants, '$[*].name')::text)), 'B')
    || setweight(search_vector(search_language,
           coalesce(nullif(search_folded(description), lower(description COLLATE "und-x-icu")), '') || ' '
           || coalesce(nullif(search_folded(search_digraphs(description)), search_folded(description)), '') || ' '
           || search_bigrams(description)), 'C')
    || setweight(search_vector(search_language,
           coalesce(nullif(search_folded(jsonb_path_query_array(attributes, '$.*')::text), lower(jsonb_path_query_array(attributes, '$.*')::text COLLATE "und-x-icu")), '') || ' '
           || coalesce(nullif(search_folded(search_digraphs(jsonb_path_query_array(attributes, '$.*')::text)), search_folded(jsonb_path_query_array(attributes, '$.*')::text)), '') || ' '
           || search_bigrams(jsonb_path_query_array(attributes, '$.*')::text)), 'D')
) STORED;
CREATE INDEX products_search ON products USING gin (search);
