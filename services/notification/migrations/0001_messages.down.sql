DROP TABLE live_events, messages, contacts;
