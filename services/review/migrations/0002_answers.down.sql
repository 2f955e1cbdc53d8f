ALTER TABLE reviews
    DROP CONSTRAINT reviews_answer,
    DROP COLUMN answer,
    DROP COLUMN answered_by,
    DROP COLUMN answered_at,
    DROP COLUMN answer_updated_at;
