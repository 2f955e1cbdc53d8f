DROP INDEX password_tries_age;
DROP INDEX attempts_age;
DROP INDEX known_devices_expiry;
DROP INDEX email_tokens_expiry;
DROP INDEX sessions_created;
