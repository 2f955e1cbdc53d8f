ALTER TABLE product_ratings
    -- Grows with every change; others know by it which of two news is the later.
    ADD COLUMN version bigint NOT NULL DEFAULT 0,
    -- Whether the product was deleted: nobody reviews it any more.
    ADD COLUMN deleted boolean NOT NULL DEFAULT false;
