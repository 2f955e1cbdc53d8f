ALTER TABLE stock DROP COLUMN threshold_version, DROP COLUMN id;
