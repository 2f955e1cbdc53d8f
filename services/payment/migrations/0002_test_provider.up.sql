-- The books of the provider `test`. They stand in for those of a company far away: nothing but
-- the provider reads or writes them, and its writes are never part of our transactions.
CREATE SCHEMA test_provider;

CREATE TABLE test_provider.charges (
    idempotency_key uuid PRIMARY KEY,
    reference       text UNIQUE,
    decline_reason  text,
    amount          bigint NOT NULL,
    currency        text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CHECK ((reference IS NULL) <> (decline_reason IS NULL))
);

CREATE TABLE test_provider.refunds (
    idempotency_key  uuid PRIMARY KEY,
    charge_reference text NOT NULL REFERENCES test_provider.charges (reference),
    reference        text NOT NULL UNIQUE,
    amount           bigint NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now()
);
