//! What other services tell of products, for filters and sorts.

use contracts::{ProductId, Sku};
use sqlx::PgConnection;

/// Stores how many have rated a product and what their ratings add up to, unless what is stored is
/// newer. News without a version are from the release before, and come in their order.
pub async fn rate(
    connection: &mut PgConnection,
    id: ProductId,
    (count, sum): (i64, i64),
    version: Option<i64>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE products
         SET rating_count = $2, rating_sum = $3, rating_version = coalesce($4, rating_version)
         WHERE id = $1 AND ($4::bigint IS NULL OR rating_version < $4)",
        id.uuid(),
        count,
        sum,
        version,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Stores whether there are units of a SKU, which belongs to this product or will. Whoever changes the
/// variants of the product at the same time has its row locked: either they see what is stored here, or
/// the row is brought up to date after them.
pub async fn set_stocked(
    connection: &mut PgConnection,
    id: ProductId,
    sku: &Sku,
    stocked: bool,
) -> Result<(), sqlx::Error> {
    if stocked {
        sqlx::query!("INSERT INTO stocked (sku) VALUES ($1) ON CONFLICT DO NOTHING", sku.as_str())
            .execute(&mut *connection)
            .await?;
    } else {
        sqlx::query!("DELETE FROM stocked WHERE sku = $1", sku.as_str())
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query!(
        "UPDATE products
         SET in_stock = EXISTS (
             SELECT FROM stocked
             WHERE stocked.sku = products.sku OR stocked.sku IN (
                 SELECT variant ->> 'sku' FROM jsonb_array_elements(variants) AS variant))
         WHERE id = $1",
        id.uuid(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}
