-- What staff look for orders by. Those of a user have an index already, and the time of placing is
-- in the id.
CREATE INDEX orders_of_state ON orders (state, id DESC);
CREATE INDEX orders_by_total ON orders (total);
CREATE INDEX orders_with_line ON orders USING gin (lines jsonb_path_ops);
