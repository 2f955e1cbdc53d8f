-- The device that a session was opened on, as in known_devices; null for sessions of the release before.
ALTER TABLE sessions ADD COLUMN device bytea;
