-- What providers have told, so that it takes effect once. Not what they have said: that is about
-- people, and the provider is asked anyway.
CREATE TABLE webhook_events (
    provider    text NOT NULL,
    event_id    text NOT NULL CHECK (length(event_id) BETWEEN 1 AND 255),
    type        text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, event_id)
);
CREATE INDEX webhook_events_age ON webhook_events (received_at);
