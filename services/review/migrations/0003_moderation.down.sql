-- What was hidden is shown again, and counted.
UPDATE product_ratings SET count = product_ratings.count + hidden.count, sum = product_ratings.sum + hidden.sum
FROM (
    SELECT product_id, count(*) AS count, sum(rating) AS sum
    FROM reviews WHERE hidden_at IS NOT NULL GROUP BY product_id
) AS hidden
WHERE product_ratings.product_id = hidden.product_id;

DROP TABLE reports;
DROP INDEX reviews_reported;
ALTER TABLE reviews
    DROP COLUMN hidden_at,
    DROP COLUMN latest_report,
    DROP COLUMN decided;
