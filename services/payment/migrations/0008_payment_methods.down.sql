ALTER TABLE payments DROP COLUMN customer;
DROP TABLE payment_methods;
