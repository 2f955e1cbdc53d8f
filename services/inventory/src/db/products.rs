//! Whose a SKU is. Rows of stock are locked sorted by SKU, as everywhere.

use contracts::events::StockAvailable;
use contracts::{ProductId, Sku};
use sqlx::PgConnection;

use super::{Result, available_again};
use crate::product::Row;

fn texts(skus: &[Sku]) -> Vec<String> {
    skus.iter().map(Sku::to_string).collect()
}

/// The rows of these SKUs and of whatever else is this product's, kept from changing until the
/// transaction ends. A SKU that is not known yet becomes so, of nobody and without units.
pub async fn lock_product(
    connection: &mut PgConnection,
    product: ProductId,
    skus: &[Sku],
) -> Result<Vec<Row>> {
    let skus = texts(skus);
    sqlx::query!(
        "INSERT INTO stock (sku, available, version)
         SELECT sku, 0, 0 FROM unnest($1::text[]) AS named (sku) ORDER BY sku
         ON CONFLICT DO NOTHING",
        &skus,
    )
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query!(
        "SELECT sku, product_id, reserved, retired FROM stock
         WHERE sku = ANY($1) OR product_id = $2 ORDER BY sku FOR UPDATE",
        &skus,
        product.uuid(),
    )
    .fetch_all(connection)
    .await?;
    let row = rows.into_iter().map(|row| Row {
        sku: row.sku,
        owner: row.product_id.map(ProductId::from),
        reserved: row.reserved,
        retired: row.retired,
    });
    Ok(row.collect())
}

/// Gives SKUs to a product, or to nobody, and says of which there are units, if they are somebody's. They can be
/// bought: whoever had retired them is gone.
pub async fn own(
    connection: &mut PgConnection,
    skus: &[String],
    product: Option<ProductId>,
) -> Result<Vec<StockAvailable>> {
    let rows = sqlx::query!(
        "UPDATE stock SET product_id = $2, retired = retired AND $2::uuid IS NULL, version = version + 1,
             updated_at = now()
         WHERE sku = ANY($1) RETURNING id, sku, available",
        skus,
        product.map(ProductId::uuid),
    )
    .fetch_all(connection)
    .await?;
    let there = rows.into_iter().filter(|row| row.available > 0);
    let tell = |product| {
        there
            .map(move |row| available_again(row.id.into(), &row.sku, product, row.available, true))
            .collect()
    };
    product.map_or_else(|| Ok(Vec::new()), tell)
}

/// Takes what is a product's out of sale, or puts it back.
pub async fn set_retired(
    connection: &mut PgConnection,
    product: ProductId,
    retired: bool,
) -> Result<()> {
    sqlx::query!(
        "UPDATE stock SET retired = $2, version = version + 1, updated_at = now()
         WHERE product_id = $1 AND retired <> $2",
        product.uuid(),
        retired,
    )
    .execute(connection)
    .await?;
    Ok(())
}
