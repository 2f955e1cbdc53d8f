-- When somebody showed that the account's address is theirs.
ALTER TABLE accounts ADD COLUMN email_verified_at timestamptz;

-- What letters bring along: of each kind the latest alone is good, and once. Never the token itself.
CREATE TABLE email_tokens (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_id    uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    purpose    text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CONSTRAINT email_tokens_latest UNIQUE (user_id, purpose)
);

-- Who has forgotten a password, before anybody looks whether there is such an account.
CREATE TABLE password_reset_requests (
    email        text PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT now()
);
