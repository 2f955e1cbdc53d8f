-- How the deletion of a product stands, or how the last one ended that came to nothing
-- (services/catalog/src/deletion.rs). While it is under way the product is not on sale.
CREATE TABLE deletions (
    product_id uuid PRIMARY KEY REFERENCES products ON DELETE CASCADE,
    state      text NOT NULL CHECK (state IN ('deleting', 'withdrawn')),
    -- Why it came to nothing.
    reason     text CHECK (reason IN ('in_use', 'no_answer')),
    -- Units that were held for orders.
    reserved   bigint,
    -- Whether the product was on sale before.
    on_sale    boolean NOT NULL,
    -- Whether inventory has answered. It answers each request once.
    answered   boolean NOT NULL,
    -- When it comes to nothing unless inventory answers.
    deadline   timestamptz NOT NULL,
    CONSTRAINT deletions_reason CHECK ((state = 'withdrawn') = (reason IS NOT NULL))
);
CREATE INDEX deletions_by_deadline ON deletions (deadline) WHERE state = 'deleting';
