-- What somebody does not want, or wants again. Who has said nothing wants everything.
CREATE TABLE preferences (
    user_id    uuid NOT NULL,
    channel    text NOT NULL CHECK (channel IN ('email')),
    wanted     boolean NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, channel)
);
