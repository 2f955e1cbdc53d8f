-- Who got a mail about which product lately: stock that comes and goes is announced once a day.
CREATE TABLE notices (
    recipient  uuid NOT NULL,
    -- `available` or `low`.
    kind       text NOT NULL,
    -- The product, or the stock that is low.
    subject    uuid NOT NULL,
    sent_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (recipient, kind, subject)
);
CREATE INDEX notices_age ON notices (sent_at);
