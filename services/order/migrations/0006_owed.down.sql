CREATE INDEX orders_unsettled ON orders (updated_at) WHERE state IN ('cancelling', 'returning');
DROP INDEX orders_owed;
