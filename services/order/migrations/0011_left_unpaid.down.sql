DELETE FROM second_steps WHERE NOT waited;
ALTER TABLE second_steps DROP COLUMN waited;
