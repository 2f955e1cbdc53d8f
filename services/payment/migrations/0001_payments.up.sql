-- One row per order. Its id is the idempotency key of the charge, so that however often a worker
-- dies, the provider charges once. There is no card number here, and never will be: `token` is the
-- provider's name for a means of payment, kept only until the charge is settled.
CREATE TABLE payments (
    id                 uuid PRIMARY KEY,
    order_id           uuid NOT NULL UNIQUE,
    user_id            uuid NOT NULL,
    amount             bigint NOT NULL CHECK (amount >= 0),
    currency           text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    provider           text NOT NULL,
    token              text,
    status             text NOT NULL CHECK (status IN ('pending', 'captured', 'failed')),
    provider_reference text,
    failure_reason     text,
    -- Sum of the refunds that are under way or done.
    refunded           bigint NOT NULL DEFAULT 0,
    attempts           integer NOT NULL DEFAULT 0,
    -- A worker that takes the payment moves this into the future; should it die, another one
    -- takes it then.
    next_attempt_at    timestamptz NOT NULL DEFAULT now(),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CHECK ((status = 'pending') = (token IS NOT NULL)),
    CHECK ((status = 'captured') = (provider_reference IS NOT NULL)),
    CHECK ((status = 'failed') = (failure_reason IS NOT NULL)),
    CONSTRAINT payments_refunded CHECK
        (refunded BETWEEN 0 AND CASE status WHEN 'captured' THEN amount ELSE 0 END)
);
CREATE INDEX payments_due ON payments (next_attempt_at) WHERE status = 'pending';

-- The id is that of the event that asked for the refund, and the provider's idempotency key.
CREATE TABLE refunds (
    id                 uuid PRIMARY KEY,
    payment_id         uuid NOT NULL REFERENCES payments,
    amount             bigint NOT NULL CHECK (amount >= 0),
    status             text NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
    provider_reference text,
    failure_reason     text,
    attempts           integer NOT NULL DEFAULT 0,
    next_attempt_at    timestamptz NOT NULL DEFAULT now(),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CHECK ((status = 'done') = (provider_reference IS NOT NULL)),
    CHECK ((status = 'failed') = (failure_reason IS NOT NULL))
);
CREATE INDEX refunds_of_payment ON refunds (payment_id);
CREATE INDEX refunds_due ON refunds (next_attempt_at) WHERE status = 'pending';
