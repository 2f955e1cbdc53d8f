DROP TABLE requested_refunds;
