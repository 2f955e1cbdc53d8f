-- What has served its time is removed in batches, oldest first.
CREATE INDEX messages_waiting ON messages (created_at) WHERE state = 'queued';
CREATE INDEX phone_codes_age ON phone_codes (sent_at);
