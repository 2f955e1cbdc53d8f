-- What has ended is removed in batches, oldest first.
CREATE INDEX sessions_created ON sessions (created_at);
CREATE INDEX email_tokens_expiry ON email_tokens (expires_at);
CREATE INDEX known_devices_expiry ON known_devices (expires_at);
CREATE INDEX attempts_age ON attempts (last_at);
CREATE INDEX password_tries_age ON password_tries (since);
