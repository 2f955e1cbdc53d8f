DROP TRIGGER forget_settled_token ON messages;
DROP FUNCTION forget_settled_token;
