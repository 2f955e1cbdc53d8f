-- Tokens in e-mails leave the outbox when they are published: tables and dumps keep hashes only.
CREATE FUNCTION forget_published_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.payload := NEW.payload - 'token';
    RETURN NEW;
END
$$;
CREATE TRIGGER forget_published_token BEFORE UPDATE OF published_at ON outbox
    FOR EACH ROW WHEN (NEW.published_at IS NOT NULL AND NEW.payload ? 'token')
    EXECUTE FUNCTION forget_published_token();
UPDATE outbox SET payload = payload - 'token' WHERE published_at IS NOT NULL AND payload ? 'token';
