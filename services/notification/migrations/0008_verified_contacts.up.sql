-- When the owner of the address showed that they read its e-mails. Until then the name is not in e-mails: another person may have
-- registered, and chosen it for the owner to read.
ALTER TABLE contacts ADD COLUMN verified_at timestamptz;
