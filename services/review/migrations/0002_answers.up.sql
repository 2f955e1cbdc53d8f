-- The answer of whoever sells the product. There is one for a review at most, and it goes with it.
ALTER TABLE reviews
    ADD COLUMN answer            text,
    ADD COLUMN answered_by       uuid,
    ADD COLUMN answered_at       timestamptz,
    ADD COLUMN answer_updated_at timestamptz,
    ADD CONSTRAINT reviews_answer CHECK (
        num_nulls(answer, answered_by, answered_at, answer_updated_at) IN (0, 4));
