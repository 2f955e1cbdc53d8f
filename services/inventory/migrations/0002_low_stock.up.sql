-- What events about a SKU are keyed by: those that carry an order have the order's id.
ALTER TABLE stock ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid();
-- Grows when the threshold changes. The version of the row grows with every sale, and whoever sets a
-- threshold for what sells well would never have read the latest one.
--
-- There is no index of what is low: Postgres updates a row without touching indexes as long as none
-- looks at a column that changes, and every order changes available.
ALTER TABLE stock ADD COLUMN threshold_version bigint NOT NULL DEFAULT 1;
