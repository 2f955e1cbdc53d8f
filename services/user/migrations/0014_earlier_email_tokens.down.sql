DROP TABLE earlier_email_tokens;
