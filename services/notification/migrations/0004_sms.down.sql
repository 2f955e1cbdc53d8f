DROP TABLE phone_codes, phones;
DELETE FROM messages WHERE channel = 'sms';
DELETE FROM preferences WHERE channel = 'sms';
ALTER TABLE preferences DROP CONSTRAINT preferences_channel_check;
ALTER TABLE preferences ADD CONSTRAINT preferences_channel_check CHECK (channel IN ('email'));
