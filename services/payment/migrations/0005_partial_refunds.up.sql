-- Staff gives a part back and says why; absent: the order has asked for it.
ALTER TABLE refunds
    ADD COLUMN reason text,
    ADD COLUMN requested_by uuid,
    -- One that was done may fail afterwards: a bank may send the money back days later.
    DROP CONSTRAINT refunds_check,
    ADD CONSTRAINT refunds_reference_check
        CHECK (status <> 'done' OR provider_reference IS NOT NULL);
CREATE INDEX refunds_reference ON refunds (provider_reference);
-- What people have to see to.
CREATE INDEX refunds_failed ON refunds (payment_id) WHERE status = 'failed';
