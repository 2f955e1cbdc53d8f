-- A refund that has failed is owed until it is done: it is asked for again, ever more rarely, and under another
-- idempotency key, because to the same one a provider gives the same answer.
ALTER TABLE refunds
    ADD COLUMN owed boolean NOT NULL DEFAULT true,
    ADD COLUMN retries integer NOT NULL DEFAULT 0,
    -- Absent: the id.
    ADD COLUMN provider_key uuid;
-- Until now staff was to ask for another refund. Whether that was done for these is known to them alone.
UPDATE refunds SET owed = false WHERE status = 'failed' AND requested_by IS NOT NULL;
-- What an order had asked for goes back as far as there is something left.
UPDATE refunds SET next_attempt_at = now() WHERE status = 'failed' AND requested_by IS NULL;
CREATE INDEX refunds_owed ON refunds (next_attempt_at) WHERE status = 'failed' AND owed;
