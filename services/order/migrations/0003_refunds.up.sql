-- Minor units that went back to the shopper. Older releases knew of it only when it was everything.
ALTER TABLE orders ADD COLUMN refunded bigint NOT NULL DEFAULT 0 CHECK (refunded BETWEEN 0 AND total);
UPDATE orders SET refunded = total WHERE payment = 'refunded';
-- Orders that wait for their money or their goods to be back where they came from.
CREATE INDEX orders_unsettled ON orders (updated_at) WHERE state IN ('cancelling', 'returning');

-- When the other services were last asked again to give back what an order needs. Not a part of what
-- happened to the order, hence neither an event nor a column of `orders`.
CREATE TABLE reminders (
    order_id uuid PRIMARY KEY,
    asked_at timestamptz NOT NULL DEFAULT now(),
    times    integer NOT NULL DEFAULT 1
);
