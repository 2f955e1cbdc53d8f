DROP TABLE verified_accounts;
ALTER TABLE payment_methods DROP COLUMN token_expires_at;
