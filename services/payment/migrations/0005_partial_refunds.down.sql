UPDATE refunds SET provider_reference = NULL WHERE status <> 'done';
DROP INDEX refunds_failed;
DROP INDEX refunds_reference;
ALTER TABLE refunds
    DROP CONSTRAINT refunds_reference_check,
    ADD CONSTRAINT refunds_check CHECK ((status = 'done') = (provider_reference IS NOT NULL)),
    DROP COLUMN requested_by,
    DROP COLUMN reason;
