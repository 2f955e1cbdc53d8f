-- Units that somebody has promised. A SKU need not have been in stock before.
CREATE TABLE announcements (
    id          uuid PRIMARY KEY,
    sku         text NOT NULL,
    quantity    bigint NOT NULL CHECK (quantity > 0),
    received    bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    expected_on date NOT NULL,
    reference   text,
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'received', 'cancelled')),
    user_id     uuid NOT NULL,
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (CASE state WHEN 'received' THEN received >= quantity ELSE received < quantity END)
);
CREATE INDEX announcements_by_day ON announcements (state, expected_on, id);

-- A supply that was announced says so; what it received adds up to its row in announcements.
ALTER TABLE movements ADD COLUMN announcement_id uuid REFERENCES announcements
    CHECK (announcement_id IS NULL OR kind = 'supply');
