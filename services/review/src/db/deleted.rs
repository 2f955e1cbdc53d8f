//! Products that are gone.

use contracts::ProductId;
use sqlx::PgConnection;

/// Removes the reviews of a product, with their answers, reports and sums, and lets nobody write
/// another. Returns how many there were.
///
/// The reviews are locked before the tally, as everywhere. Whoever has written one meanwhile had the
/// tally before us, so that we see that review; whoever comes to the tally after us finds it closed.
pub async fn let_go(connection: &mut PgConnection, product: ProductId) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "SELECT FROM reviews WHERE product_id = $1 ORDER BY id FOR UPDATE",
        product.uuid(),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO product_ratings (product_id, count, sum, deleted) VALUES ($1, 0, 0, true)
         ON CONFLICT (product_id) DO UPDATE
         SET count = 0, sum = 0, deleted = true, version = product_ratings.version + 1",
        product.uuid(),
    )
    .execute(&mut *connection)
    .await?;
    let gone = sqlx::query!("DELETE FROM reviews WHERE product_id = $1", product.uuid())
        .execute(connection)
        .await?;
    Ok(gone.rows_affected())
}
