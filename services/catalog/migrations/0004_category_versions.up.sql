ALTER TABLE categories ADD COLUMN version bigint NOT NULL DEFAULT 1;
