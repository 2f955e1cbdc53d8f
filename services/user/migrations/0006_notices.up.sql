-- What is there again, of which not everybody has been told who keeps it.
CREATE TABLE notices (
    event_id   uuid PRIMARY KEY,
    product_id uuid NOT NULL,
    sku        text NOT NULL,
    -- Who was told last; they are told in the order of their ids.
    told       uuid,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX notices_oldest ON notices (created_at);
CREATE INDEX favourites_of_product ON favourites (product_id, user_id);
