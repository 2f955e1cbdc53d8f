-- What news of an order's money need: whose order it is, where it has got to, and what was paid.
CREATE TABLE orders (
    order_id   uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    status     text NOT NULL,
    paid       bigint,
    currency   text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((paid IS NULL) = (currency IS NULL))
);
INSERT INTO orders (order_id, user_id, status)
SELECT DISTINCT ON (order_id) order_id, user_id, status FROM live_events ORDER BY order_id, seq DESC;
UPDATE orders
SET paid = (letter #>> '{total,amount}')::bigint, currency = letter #>> '{total,currency}'
FROM messages
WHERE letter ->> 'kind' = 'paid' AND (letter ->> 'order_id')::uuid = orders.order_id;

-- What letters call the products, and whose they are.
CREATE TABLE products (
    product_id uuid PRIMARY KEY,
    name       text NOT NULL,
    seller_id  uuid
);
-- Each kind of a product that is in stock by itself; variant is what sets it apart, if anything.
CREATE TABLE product_skus (
    sku        text PRIMARY KEY,
    product_id uuid NOT NULL REFERENCES products ON DELETE CASCADE,
    variant    text
);
CREATE INDEX product_skus_product ON product_skus (product_id);

-- A letter about an order that is not known yet is addressed to the order, until its owner is.
CREATE INDEX messages_recipient ON messages (recipient) WHERE state = 'queued';

-- Where to go on, where a step asks something of the shopper.
ALTER TABLE live_events ADD COLUMN url text;
