ALTER TABLE contacts DROP COLUMN verified_at;
