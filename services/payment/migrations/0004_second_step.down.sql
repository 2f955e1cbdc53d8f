-- What waits for a shopper is unknown to older versions.
UPDATE payments SET status = 'failed', failure_reason = 'given_up', next_action = NULL
WHERE status = 'requires_action';
UPDATE payments SET provider_reference = NULL WHERE status <> 'captured';
DROP INDEX payments_reference;
DROP INDEX payments_due;
CREATE INDEX payments_due ON payments (next_attempt_at) WHERE status = 'pending';
ALTER TABLE payments
    DROP CONSTRAINT payments_action_check,
    DROP CONSTRAINT payments_reference_check,
    DROP CONSTRAINT payments_status_check,
    ADD CONSTRAINT payments_status_check CHECK (status IN ('pending', 'captured', 'failed')),
    ADD CONSTRAINT payments_check1 CHECK ((status = 'captured') = (provider_reference IS NOT NULL)),
    DROP COLUMN given_up_at,
    DROP COLUMN confirmed,
    DROP COLUMN next_action;
UPDATE test_provider.charges SET decline_reason = 'given_up'
WHERE reference IS NULL AND decline_reason IS NULL;
ALTER TABLE test_provider.charges
    DROP CONSTRAINT charges_action_check,
    DROP CONSTRAINT charges_check,
    ADD CONSTRAINT charges_check CHECK ((reference IS NULL) <> (decline_reason IS NULL)),
    DROP COLUMN declines_then,
    DROP COLUMN action_url;
