-- Charges that a shopper's bank wants back. Staff answers at the provider's, in time or the money is lost.
CREATE TABLE disputes (
    provider   text NOT NULL,
    -- The provider's name for the dispute.
    reference  text NOT NULL CHECK (length(reference) BETWEEN 1 AND 255),
    payment_id uuid NOT NULL REFERENCES payments,
    amount     bigint NOT NULL,
    currency   text NOT NULL,
    reason     text NOT NULL,
    status     text NOT NULL,
    -- Until when it has to be answered.
    due_at     timestamptz,
    -- Time of the provider's latest event: its webhooks come in any order.
    reported_at   timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, reference)
);
CREATE INDEX disputes_payment ON disputes (payment_id);
