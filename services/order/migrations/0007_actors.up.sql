-- Who made an event happen: the customer or an administrator by their account, or the shop itself. Null: an older
-- release did not record it.
ALTER TABLE order_events ADD COLUMN actor_kind text, ADD COLUMN actor_id uuid;
