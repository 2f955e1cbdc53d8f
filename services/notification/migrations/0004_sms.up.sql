ALTER TABLE preferences DROP CONSTRAINT preferences_channel_check;
ALTER TABLE preferences ADD CONSTRAINT preferences_channel_check CHECK (channel IN ('email', 'sms'));

-- Numbers that people want short messages at; none is sent before they have shown that it is theirs.
CREATE TABLE phones (
    user_id         uuid PRIMARY KEY,
    -- E.164
    number          text NOT NULL CHECK (number ~ '^\+[1-9][0-9]{6,14}$'),
    verified_at     timestamptz,
    -- SHA-256 of the code that was sent last, until it has served.
    code_hash       bytea,
    code_expires_at timestamptz,
    tries           integer NOT NULL DEFAULT 0,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CHECK ((code_hash IS NULL) = (code_expires_at IS NULL))
);

-- Codes that were sent, so that nobody floods a stranger or empties the shop's account at its provider.
CREATE TABLE phone_codes (
    user_id uuid NOT NULL,
    number  text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX phone_codes_user ON phone_codes (user_id, sent_at);
CREATE INDEX phone_codes_number ON phone_codes (number, sent_at);
