-- A review that an administrator has hidden is seen by its author and by administrators alone, and
-- product_ratings does not count it.
ALTER TABLE reviews
    ADD COLUMN hidden_at     timestamptz,
    -- The latest report: what the list of reported reviews is sorted by.
    ADD COLUMN latest_report uuid,
    -- Whether an administrator has decided since that report.
    ADD COLUMN decided       boolean NOT NULL DEFAULT false;
CREATE INDEX reviews_reported ON reviews (decided, latest_report) WHERE latest_report IS NOT NULL;

-- Who finds fault with a review, each person once. Ids are UUIDv7: in their order they were made.
CREATE TABLE reports (
    id         uuid NOT NULL UNIQUE,
    review_id  uuid NOT NULL REFERENCES reviews ON DELETE CASCADE,
    user_id    uuid NOT NULL,
    reason     text NOT NULL CHECK (reason IN
                   ('spam', 'offensive', 'off_topic', 'untrue', 'personal_data', 'other')),
    text       text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reports_one_per_user PRIMARY KEY (review_id, user_id)
);
CREATE INDEX reports_of_review ON reports (review_id, id);
