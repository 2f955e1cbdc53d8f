DROP TABLE reminders;
DROP INDEX orders_unsettled;
ALTER TABLE orders DROP COLUMN refunded;
