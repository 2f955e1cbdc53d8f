ALTER TABLE products DROP COLUMN search;
ALTER TABLE products ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
    setweight(to_tsvector('english', name), 'A')
    || setweight(to_tsvector('english', sku), 'A')
    || setweight(jsonb_to_tsvector('english', jsonb_path_query_array(variants, '$[*].sku'), '["string"]'), 'A')
    || setweight(jsonb_to_tsvector('english', jsonb_path_query_array(variants, '$[*].name'), '["string"]'), 'B')
    || setweight(to_tsvector('english', description), 'C')
    || setweight(jsonb_to_tsvector('english', attributes, '["string"]'), 'D')
    || setweight(to_tsvector('english',
           coalesce(nullif(search_folded(name), lower(name COLLATE "und-x-icu")), '') || ' '
           || coalesce(nullif(search_folded(search_digraphs(name)), search_folded(name)), '') || ' '
           || search_bigrams(name)), 'A')
    || setweight(to_tsvector('english',
           coalesce(nullif(search_folded(jsonb_path_query_array(variants, '$[*].name')::text), lower(jsonb_path_query_array(variants, '$[*].name')::text COLLATE "und-x-icu")), '') || ' '
           || coalesce(nullif(search_folded(search_digraphs(jsonb_path_query_array(variants, '$[*].name')::text)), search_folded(jsonb_path_query_array(variants, '$[*].name')::text)), '') || ' '
           || search_bigrams(jsonb_path_query_array(variants, '$[*].name')::text)), 'B')
    || setweight(to_tsvector('english',
           coalesce(nullif(search_folded(description), lower(description COLLATE "und-x-icu")), '') || ' '
           || coalesce(nullif(search_folded(search_digraphs(description)), search_folded(description)), '') || ' '
           || search_bigrams(description)), 'C')
    || setweight(to_tsvector('english',
           coalesce(nullif(search_folded(jsonb_path_query_array(attributes, '$.*')::text), lower(jsonb_path_query_array(attributes, '$.*')::text COLLATE "und-x-icu")), '') || ' '
           || coalesce(nullif(search_folded(search_digraphs(jsonb_path_query_array(attributes, '$.*')::text)), search_folded(jsonb_path_query_array(attributes, '$.*')::text)), '') || ' '
           || search_bigrams(jsonb_path_query_array(attributes, '$.*')::text)), 'D')
) STORED;
CREATE INDEX products_search ON products USING gin (search);
CREATE OR REPLACE FUNCTION search_query(typed text) RETURNS tsquery LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN german = plain THEN websearch_to_tsquery('english', plain)
        ELSE websearch_to_tsquery('english', plain) || websearch_to_tsquery('english', german) END
    FROM (SELECT search_folded(typed) AS plain, search_folded(search_digraphs(typed)) AS german) AS forms
$$;
DROP FUNCTION search_meant, search_configuration;
DROP FUNCTION search_vector (text, text), search_vector (text, jsonb);
DROP TRIGGER products_set_search_language ON products;
DROP FUNCTION set_search_language;
ALTER TABLE products DROP COLUMN search_language;
DROP TABLE search_settings;
