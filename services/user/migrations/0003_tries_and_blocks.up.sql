-- How often a password was tried in the current window: for one account, and from one network. Unlogged,
-- for after a crash of the server it may begin anew.
CREATE UNLOGGED TABLE password_tries (
    -- SHA-256 of what is counted
    subject bytea PRIMARY KEY CHECK (octet_length(subject) = 32),
    tries   int NOT NULL,
    since   timestamptz NOT NULL
);

ALTER TABLE accounts ADD COLUMN blocked_at timestamptz;
