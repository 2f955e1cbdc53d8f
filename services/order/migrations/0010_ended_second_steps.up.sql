-- When an order ended that was not confirmed: it counts for its account for an hour. Older releases remove the row instead.
ALTER TABLE second_steps ADD COLUMN ended_at timestamptz;
CREATE INDEX second_steps_ended ON second_steps (ended_at) WHERE ended_at IS NOT NULL;
