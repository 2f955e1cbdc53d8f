-- Orders whose money or goods have not come back, whatever their state: one that has ended is owed money, too, when
-- it was charged afterwards.
CREATE INDEX orders_owed ON orders (updated_at)
    WHERE payment = 'refund_requested' OR state IN ('cancelling', 'returning');
DROP INDEX orders_unsettled;
