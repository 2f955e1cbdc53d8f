-- When the access token ends that a method was stored with; null for methods of older releases. Methods of a stranger who
-- had registered with another person's address go when the owner verifies it.
ALTER TABLE payment_methods ADD COLUMN token_expires_at timestamptz;
-- Accounts that were verified by a person who may not have registered them: tokens that expire until then may be the
-- stranger's, and store nothing. Rows are removed when all these tokens have expired.
CREATE TABLE verified_accounts (
    user_id          uuid PRIMARY KEY,
    tokens_expire_by timestamptz NOT NULL
);
