-- A charge may wait for the shopper, who has something to do at `next_action` first. Then the
-- provider has a name for it already, and the token has served its purpose.
ALTER TABLE payments
    ADD COLUMN next_action text,
    -- The shopper says that it is done; the worker asks the provider.
    ADD COLUMN confirmed boolean NOT NULL DEFAULT false,
    -- The order has ended then: what waits is given up, what is taken meanwhile goes back.
    ADD COLUMN given_up_at timestamptz,
    DROP CONSTRAINT payments_status_check,
    DROP CONSTRAINT payments_check1,
    ADD CONSTRAINT payments_status_check
        CHECK (status IN ('pending', 'requires_action', 'captured', 'failed')),
    ADD CONSTRAINT payments_reference_check
        CHECK (status NOT IN ('requires_action', 'captured') OR provider_reference IS NOT NULL),
    ADD CONSTRAINT payments_action_check
        CHECK ((status = 'requires_action') = (next_action IS NOT NULL));
DROP INDEX payments_due;
CREATE INDEX payments_due ON payments (next_attempt_at)
    WHERE status IN ('pending', 'requires_action');
-- Webhooks name a charge as the provider does.
CREATE INDEX payments_reference ON payments (provider_reference);

-- What the provider `test` waits for, and what becomes of the charge then.
ALTER TABLE test_provider.charges
    ADD COLUMN action_url text,
    ADD COLUMN declines_then text,
    DROP CONSTRAINT charges_check,
    ADD CONSTRAINT charges_check CHECK (reference IS NULL OR decline_reason IS NULL),
    ADD CONSTRAINT charges_action_check
        CHECK (action_url IS NOT NULL OR reference IS NOT NULL OR decline_reason IS NOT NULL);
