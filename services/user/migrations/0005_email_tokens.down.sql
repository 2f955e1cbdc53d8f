DROP TABLE password_reset_requests;
DROP TABLE email_tokens;
ALTER TABLE accounts DROP COLUMN email_verified_at;
