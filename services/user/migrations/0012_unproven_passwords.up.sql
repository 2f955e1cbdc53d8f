-- The address is verified, but its owner may not know the password: another person may have registered with it. Ends
-- when the reader of the account's e-mails chooses a password. Accounts that were verified before count as proven.
ALTER TABLE accounts ADD COLUMN password_unproven boolean NOT NULL DEFAULT false;
