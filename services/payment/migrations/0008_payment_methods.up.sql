-- Means of payment that shoppers keep for the next order: the provider's token for it, and what the
-- provider says of it that is fit to be shown. There is no room for a card number.
CREATE TABLE payment_methods (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    provider   text NOT NULL,
    token      text NOT NULL CHECK (length(token) BETWEEN 1 AND 255),
    -- The provider's name for whom it belongs to, where it wants one with each charge.
    customer   text,
    brand      text NOT NULL CHECK (brand ~ '^[a-z0-9_ -]{1,32}$'),
    last4      text NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
    label      text CHECK (length(label) BETWEEN 1 AND 64),
    is_default boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_methods_token UNIQUE (user_id, provider, token)
);
CREATE UNIQUE INDEX payment_methods_default ON payment_methods (user_id) WHERE is_default;

-- Of a charge by a method of that kind.
ALTER TABLE payments ADD COLUMN customer text;
