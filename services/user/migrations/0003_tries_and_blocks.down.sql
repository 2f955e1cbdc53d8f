ALTER TABLE accounts DROP COLUMN blocked_at;
DROP TABLE password_tries;
