-- Attempts to log in and to register, by what they are counted by. Unlogged: after a crash of the server counting may begin
-- again. Pods of the release before go on with password_tries, which a later release drops.
CREATE UNLOGGED TABLE attempts (
    -- SHA-256 of what is counted by
    subject  bytea PRIMARY KEY CHECK (octet_length(subject) = 32),
    count    int NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL
);

-- Browsers in which the owner of an account has logged in. Never the token itself.
CREATE TABLE known_devices (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_id    uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX known_devices_user ON known_devices (user_id, created_at);
