DROP INDEX refunds_unpublished;
ALTER TABLE refunds DROP COLUMN request_published;
