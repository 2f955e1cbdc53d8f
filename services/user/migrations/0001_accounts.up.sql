-- Who may use the shop. E-mail addresses are stored as they are compared: trimmed, in lower case.
CREATE TABLE accounts (
    id            uuid PRIMARY KEY,
    email         text NOT NULL CONSTRAINT accounts_email_key UNIQUE,
    name          text NOT NULL,
    -- PHC string; null: nobody can log in to this account.
    password_hash text,
    roles         text[] NOT NULL,
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts_roles_check
        CHECK (cardinality(roles) > 0 AND roles <@ ARRAY['customer', 'seller', 'admin'])
);

-- One login, from then until it is revoked or its tokens have all expired: the family of refresh
-- tokens that were made of each other.
CREATE TABLE sessions (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE INDEX sessions_user ON sessions (user_id);

-- Never the token itself: what leaks from here opens nothing.
CREATE TABLE refresh_tokens (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    spent_at   timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id, expires_at);
