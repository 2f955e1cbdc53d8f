DROP TABLE refresh_tokens, sessions, accounts;
