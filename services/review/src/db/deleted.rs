//! Products that are gone.

use contracts::ProductId;
use kit::purge::{BATCH, until_none};
use sqlx::PgConnection;
use uuid::Uuid;

/// Removes the reviews of a product, with their answers, reports and sums, and lets nobody write
/// another. Returns how many there were. No statement removes more than a batch, however many there are.
///
/// The reviews are locked before the tally, as everywhere. Whoever has written one meanwhile had the
/// tally before us, so that we see that review; whoever comes to the tally after us finds it closed.
pub async fn let_go(connection: &mut PgConnection, product: ProductId) -> Result<u64, sqlx::Error> {
    let gone = remove_reviews(connection, product).await?;
    sqlx::query!(
        "INSERT INTO product_ratings (product_id, count, sum, deleted) VALUES ($1, 0, 0, true)
         ON CONFLICT (product_id) DO UPDATE
         SET count = 0, sum = 0, deleted = true, version = product_ratings.version + 1",
        product.uuid(),
    )
    .execute(&mut *connection)
    .await?;
    Ok(gone + remove_reviews(connection, product).await?)
}

/// Removes those reviews that there are now, in batches.
async fn remove_reviews(
    connection: &mut PgConnection,
    product: ProductId,
) -> Result<u64, sqlx::Error> {
    // An index need not be searched again through what was removed before.
    let (mut after, mut gone) = (Uuid::nil(), 0);
    loop {
        let reviews = sqlx::query_scalar!(
            "SELECT id FROM reviews WHERE product_id = $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE",
            product.uuid(),
            after,
            BATCH,
        )
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = reviews.last() else { return Ok(gone) };
        after = *last;
        remove_reports(connection, &reviews).await?;
        let removed = sqlx::query!("DELETE FROM reviews WHERE id = ANY($1)", &reviews);
        gone += removed.execute(&mut *connection).await?.rows_affected();
    }
}

/// Removes the reports of locked reviews, to which none is added: the review's own removal would take all of them in
/// one statement.
async fn remove_reports(
    connection: &mut PgConnection,
    reviews: &[Uuid],
) -> Result<(), sqlx::Error> {
    let reports = || {
        sqlx::query!(
            "DELETE FROM reports WHERE id = ANY(ARRAY(
                 SELECT id FROM reports WHERE review_id = ANY($1) LIMIT $2))",
            reviews,
            BATCH,
        )
    };
    until_none(connection, reports).await?;
    Ok(())
}
