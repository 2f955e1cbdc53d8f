-- Orders that wait for their shopper to confirm the payment, and since when: they are held for a shorter time.
-- Not a part of what happened to the order, hence neither an event nor a column of `orders`.
CREATE TABLE second_steps (
    order_id uuid PRIMARY KEY,
    since    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX second_steps_since ON second_steps (since);
