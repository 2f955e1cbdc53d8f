ALTER TABLE attempts DROP COLUMN account;
