DROP INDEX accounts_blocked_at;
