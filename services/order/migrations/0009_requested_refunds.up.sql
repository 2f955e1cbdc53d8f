-- What staff has given back, or is about to, of paid orders that can still be shipped, in minor units. Not a part of what
-- happened to the order, hence neither an event nor a column of `orders`: older releases could read neither.
CREATE TABLE requested_refunds (
    order_id uuid PRIMARY KEY,
    total    bigint NOT NULL
);
