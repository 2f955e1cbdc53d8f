ALTER TABLE phone_codes DROP COLUMN site;
