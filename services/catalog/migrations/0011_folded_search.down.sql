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
DROP FUNCTION search_query, search_bigrams, search_digraphs, search_folded;
