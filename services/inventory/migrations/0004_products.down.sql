ALTER TABLE stock DROP COLUMN retired, DROP COLUMN product_id;
