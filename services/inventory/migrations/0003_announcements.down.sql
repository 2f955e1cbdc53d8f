ALTER TABLE movements DROP COLUMN announcement_id;
DROP TABLE announcements;
