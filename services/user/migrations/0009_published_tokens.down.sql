DROP TRIGGER forget_published_token ON outbox;
DROP FUNCTION forget_published_token;
