-- SHA-256 of the account that is tried, beside what is counted by account and network: a new password of the operator's Secret
-- forgets them all. Absent: not counted by an account, or by a pod of the release before.
ALTER TABLE attempts ADD COLUMN account bytea CHECK (octet_length(account) = 32);
CREATE INDEX attempts_account ON attempts (account) WHERE account IS NOT NULL;
