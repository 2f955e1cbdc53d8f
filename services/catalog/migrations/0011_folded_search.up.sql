-- A search finds words however they are spelt: without accents, with German digraphs for umlauts, and parts of Chinese,
-- Japanese and Korean phrases, which have no spaces between words. In SQL and not by the extension unaccent, which an
-- external server need not have; in the database and not in the program, because programs of the release before go on
-- writing while this one is rolled out. What a generated column calls must name nothing outside pg_catalog, because a restore
-- sees no other schema.

-- In small letters and without accents; compatible forms (full width) are one. Letters that do not decompose are replaced.
CREATE FUNCTION search_folded(phrase text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT normalize(regexp_replace(
        normalize(
            translate(
                replace(replace(replace(replace(
                    lower(phrase COLLATE "und-x-icu"), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
                'øłđðħı', 'olddhi'),
            NFKD),
        '[\u0300-\u036f]', '', 'g'), NFKC)
$$;

-- Umlauts as they are written where the keyboard has none: ae, oe, ue; Danish and Norwegian ø and å likewise.
CREATE FUNCTION search_digraphs(phrase text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT replace(replace(replace(replace(replace(
        normalize(lower(phrase COLLATE "und-x-icu"), NFC), 'ä', 'ae'), 'ö', 'oe'), 'ü', 'ue'), 'ø', 'oe'), 'å', 'aa')
$$;

-- Each two neighbours of Chinese, Japanese and Korean characters, in their order, and what stands between such runs. The
-- same characters are named in services/catalog/src/spelling.rs.
CREATE FUNCTION search_bigrams(phrase text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN phrase ~ '[\u3005\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]' THEN
        (SELECT coalesce(string_agg(substr(run.chars[1], at, 2), ' ' ORDER BY run.place, at), '')
         FROM regexp_matches(phrase, '([\u3005\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]{2,})', 'g') WITH ORDINALITY AS run (chars, place),
              generate_series(1, length(run.chars[1]) - 1) AS at)
        || ' ' || regexp_replace(phrase, '[\u3005\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+', ' ', 'g')
    ELSE '' END
$$;

-- What a search looks for: the words as web searches write them, in every spelling that products are stored in.
CREATE FUNCTION search_query(typed text) RETURNS tsquery LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN german = plain THEN websearch_to_tsquery('english', plain)
        ELSE websearch_to_tsquery('english', plain) || websearch_to_tsquery('english', german) END
    FROM (SELECT search_folded(typed) AS plain, search_folded(search_digraphs(typed)) AS german) AS forms
$$;

-- Postgres cannot change what a column is made of; this rewrites the table once. Words as they were written stay, for
-- programs of the release before.
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
