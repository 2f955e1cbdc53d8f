-- Whether the order waited for a second step. Orders that never did are kept here too when their shopper lets them end
-- unpaid; pods of the release before count them like those that did.
ALTER TABLE second_steps ADD COLUMN waited boolean NOT NULL DEFAULT true;
