-- What has happened to orders: the truth, only ever appended to. The key keeps two writers from
-- taking the same step.
CREATE TABLE order_events (
    order_id   uuid NOT NULL,
    seq        bigint NOT NULL CHECK (seq > 0),
    type       text NOT NULL,
    payload    jsonb NOT NULL,
    -- The event of another service that led to this one.
    event_id   uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (order_id, seq)
);

-- How orders are now: what their events add up to, and nothing else.
CREATE TABLE orders (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL,
    state         text NOT NULL,
    payment       text NOT NULL,
    fulfilment    text NOT NULL,
    reason        text,
    reason_detail text,
    total         bigint NOT NULL CHECK (total >= 0),
    currency      text NOT NULL,
    lines         jsonb NOT NULL,
    payment_token text NOT NULL,
    payment_id    uuid,
    expires_at    timestamptz NOT NULL,
    -- seq of the last event in here.
    version       bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
-- Ids are UUIDv7: newest first is descending by id.
CREATE INDEX orders_of_user ON orders (user_id, id DESC);
CREATE INDEX orders_open ON orders (expires_at) WHERE state IN ('pending', 'reserved');
