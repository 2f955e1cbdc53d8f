ALTER TABLE phone_codes DROP COLUMN country, DROP COLUMN network;
