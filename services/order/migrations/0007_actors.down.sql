ALTER TABLE order_events DROP COLUMN actor_kind, DROP COLUMN actor_id;
