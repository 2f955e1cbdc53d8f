ALTER TABLE product_ratings DROP COLUMN deleted, DROP COLUMN version;
