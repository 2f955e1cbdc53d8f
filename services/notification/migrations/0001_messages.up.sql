-- Whom to write to, as user.registered has told.
CREATE TABLE contacts (
    user_id    uuid PRIMARY KEY,
    email      text NOT NULL,
    name       text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Messages to be sent, written in the transaction of the event that they tell of. A message may be
-- there before its recipient's contact is: it waits.
CREATE TABLE messages (
    id         uuid PRIMARY KEY,
    event_id   uuid NOT NULL,
    channel    text NOT NULL,
    recipient  uuid NOT NULL,
    letter     jsonb NOT NULL,
    state      text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'dead')),
    attempts   integer NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT now(),
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    CONSTRAINT messages_once UNIQUE (event_id, channel, recipient)
);
CREATE INDEX messages_due ON messages (due_at) WHERE state = 'queued';
CREATE INDEX messages_settled ON messages (settled_at) WHERE settled_at IS NOT NULL;

-- What browsers are told. seq orders the events of one user: they are inserted one after another.
CREATE TABLE live_events (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL CONSTRAINT live_events_once UNIQUE,
    user_id  uuid NOT NULL,
    type     text NOT NULL,
    order_id uuid NOT NULL,
    status   text NOT NULL,
    time     timestamptz NOT NULL
);
CREATE INDEX live_events_user ON live_events (user_id, seq);
CREATE INDEX live_events_time ON live_events (time);
