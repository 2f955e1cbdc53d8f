-- Whatever sends or abandons a message, the token in it goes: from then on it is its reader's alone.
CREATE FUNCTION forget_settled_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.letter := NEW.letter - 'token';
    RETURN NEW;
END
$$;
CREATE TRIGGER forget_settled_token BEFORE UPDATE OF state ON messages
    FOR EACH ROW WHEN (NEW.state <> 'queued' AND NEW.letter ? 'token')
    EXECUTE FUNCTION forget_settled_token();
UPDATE messages SET letter = letter - 'token' WHERE state <> 'queued' AND letter ? 'token';
