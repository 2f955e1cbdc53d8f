-- W3C trace context of the event that has asked for the payment: the worker goes on with its trace.
ALTER TABLE payments ADD COLUMN traceparent text;
ALTER TABLE refunds ADD COLUMN traceparent text;
