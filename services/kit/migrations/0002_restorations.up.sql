-- The backups that this database was filled from. A restoration creates the table before any migration.
CREATE TABLE IF NOT EXISTS restorations (
    backup        text PRIMARY KEY,
    -- As of when the data are.
    backup_at     timestamptz NOT NULL,
    restored_at   timestamptz NOT NULL DEFAULT now(),
    -- When the data were compared with what others know of the time after the backup.
    reconciled_at timestamptz
);
