-- Whether the request of staff was published, before the provider has made the refund. Releases before that
-- event store refunds without it; the worker publishes those that are not done.
ALTER TABLE refunds ADD COLUMN request_published boolean NOT NULL DEFAULT false;
CREATE INDEX refunds_unpublished ON refunds (created_at)
    WHERE NOT request_published AND requested_by IS NOT NULL AND status <> 'done';
