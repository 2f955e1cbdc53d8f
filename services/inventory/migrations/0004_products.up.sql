-- Whose a SKU is, as the catalog has told; null while nobody has.
ALTER TABLE stock ADD COLUMN product_id uuid;
-- A retired SKU has its units, but nobody can see or reserve them: its product is to be deleted.
ALTER TABLE stock ADD COLUMN retired boolean NOT NULL DEFAULT false;
CREATE INDEX stock_of_product ON stock (product_id) WHERE product_id IS NOT NULL;
