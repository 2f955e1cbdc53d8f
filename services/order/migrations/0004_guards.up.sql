-- Where the lines of an order come from; null: an older release did not say.
ALTER TABLE orders ADD COLUMN source jsonb;
-- Open orders of an account, which are few and bounded.
CREATE INDEX orders_open_of_user ON orders (user_id) WHERE state IN ('pending', 'reserved');

-- The last order that was placed from each cart, and the version of the cart then. The row goes when the order
-- ends unpaid. It stays when the order is paid: until the cart has forgotten what was bought, its version tells
-- a second order of the same lines from a new one.
CREATE TABLE open_carts (
    cart_id      text PRIMARY KEY,
    order_id     uuid NOT NULL,
    cart_version bigint NOT NULL
);
CREATE INDEX open_carts_of_order ON open_carts (order_id);
