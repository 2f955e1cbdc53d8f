DROP TABLE idempotency_keys, inbox, outbox;
