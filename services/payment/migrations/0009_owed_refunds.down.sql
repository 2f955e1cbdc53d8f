DROP INDEX refunds_owed;
ALTER TABLE refunds DROP COLUMN owed, DROP COLUMN retries, DROP COLUMN provider_key;
