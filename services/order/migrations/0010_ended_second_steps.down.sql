DELETE FROM second_steps WHERE ended_at IS NOT NULL;
DROP INDEX second_steps_ended;
ALTER TABLE second_steps DROP COLUMN ended_at;
