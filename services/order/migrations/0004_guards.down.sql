DROP TABLE open_carts;
DROP INDEX orders_open_of_user;
ALTER TABLE orders DROP COLUMN source;
