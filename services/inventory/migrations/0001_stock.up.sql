-- What is there now. Every change of a row goes with a movement that says why.
CREATE TABLE stock (
    sku           text PRIMARY KEY,
    available     bigint NOT NULL CONSTRAINT stock_available_not_negative CHECK (available >= 0),
    reserved      bigint NOT NULL DEFAULT 0
                  CONSTRAINT stock_reserved_not_negative CHECK (reserved >= 0),
    low_threshold bigint CHECK (low_threshold >= 0),
    version       bigint NOT NULL DEFAULT 1,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    -- Far above any warehouse and far below an overflow of sums.
    CONSTRAINT stock_ceiling CHECK (available + reserved <= 1000000000000)
);

-- One row per order that inventory has heard of: its state is that of all its lines, and it is
-- what handlers and the sweeper lock. An order that ends before it holds anything gets a row too:
-- a reservation that comes late finds it and holds nothing.
CREATE TABLE reservations (
    order_id   uuid PRIMARY KEY,
    state      text NOT NULL CHECK (state IN
                   ('pending', 'rejected', 'committed', 'released', 'expired', 'returned')),
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (state <> 'pending' OR expires_at IS NOT NULL)
);
CREATE INDEX reservations_due ON reservations (expires_at) WHERE state = 'pending';

CREATE TABLE reservation_lines (
    order_id uuid NOT NULL REFERENCES reservations,
    sku      text NOT NULL REFERENCES stock,
    quantity bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, sku)
);

-- The history: the deltas of a SKU add up to its row in stock.
CREATE TABLE movements (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku             text NOT NULL REFERENCES stock,
    kind            text NOT NULL,
    quantity        bigint NOT NULL CHECK (quantity <> 0),
    available_delta bigint NOT NULL,
    reserved_delta  bigint NOT NULL,
    order_id        uuid REFERENCES reservations,
    user_id         uuid,
    note            text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT movements_kind CHECK (CASE kind
        WHEN 'supply'     THEN quantity > 0 AND (available_delta, reserved_delta) = (quantity, 0)
        WHEN 'adjustment' THEN (available_delta, reserved_delta) = (quantity, 0)
        WHEN 'reserve'    THEN quantity > 0 AND (available_delta, reserved_delta) = (-quantity, quantity)
        WHEN 'release'    THEN quantity > 0 AND (available_delta, reserved_delta) = (quantity, -quantity)
        WHEN 'commit'     THEN quantity > 0 AND (available_delta, reserved_delta) = (0, -quantity)
        WHEN 'return'     THEN quantity > 0 AND (available_delta, reserved_delta) = (quantity, 0)
        ELSE false
    END),
    CHECK ((order_id IS NULL) = (kind IN ('supply', 'adjustment')))
);
CREATE INDEX movements_of_sku ON movements (sku, id);
CREATE INDEX movements_of_order ON movements (order_id) WHERE order_id IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER movements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
