DROP TABLE stocked;
ALTER TABLE products
    DROP COLUMN in_stock,
    DROP COLUMN rating,
    DROP COLUMN rating_version,
    DROP COLUMN rating_sum,
    DROP COLUMN rating_count;
