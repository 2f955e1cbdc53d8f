ALTER TABLE live_events DROP COLUMN url;
DROP INDEX messages_recipient;
DROP TABLE product_skus, products, orders;
