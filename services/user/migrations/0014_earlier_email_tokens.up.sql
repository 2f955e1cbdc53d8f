-- Tokens of e-mails before the latest one of their purpose, which email_tokens has. They stay valid: by asking for more e-mails
-- a stranger must not end the link that the owner is reading. All of a purpose end together, whichever pod ends them.
CREATE TABLE earlier_email_tokens (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_id    uuid NOT NULL,
    purpose    text NOT NULL,
    expires_at timestamptz NOT NULL,
    FOREIGN KEY (user_id, purpose) REFERENCES email_tokens (user_id, purpose) ON DELETE CASCADE
);
CREATE INDEX earlier_email_tokens_purpose ON earlier_email_tokens (user_id, purpose);
