-- For filters by attribute, which are JSON paths.
CREATE INDEX products_by_attributes ON products USING gin (attributes jsonb_path_ops);
