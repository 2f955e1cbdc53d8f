-- Each gateway asks every two seconds who was blocked within the last minutes.
CREATE INDEX accounts_blocked_at ON accounts (blocked_at) WHERE blocked_at IS NOT NULL;
