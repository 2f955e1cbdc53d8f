-- Ids are UUIDv7: in their order they were written.
CREATE TABLE reviews (
    id         uuid PRIMARY KEY,
    product_id uuid NOT NULL,
    user_id    uuid NOT NULL,
    rating     smallint NOT NULL CHECK (rating BETWEEN 1 AND 5),
    title      text,
    text       text NOT NULL,
    version    bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reviews_one_per_user UNIQUE (product_id, user_id)
);
CREATE INDEX reviews_of_product ON reviews (product_id, id);

-- What the reviews of each product add up to, kept in the transaction that changes a review. A row
-- stays when the last review goes, so that there is always one to lock.
CREATE TABLE product_ratings (
    product_id uuid PRIMARY KEY,
    count      bigint NOT NULL CHECK (count >= 0),
    sum        bigint NOT NULL,
    CONSTRAINT product_ratings_sum CHECK (sum BETWEEN count AND 5 * count)
);
