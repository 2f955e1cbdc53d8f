//! Who sells the products that there is stock of.

use contracts::{ProductId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;

/// Keeps who sells these products.
pub async fn set_sellers(
    connection: &mut PgConnection,
    sellers: &[(ProductId, UserId)],
) -> Result<()> {
    let (products, sellers): (Vec<Uuid>, Vec<Uuid>) =
        sellers.iter().map(|(product, seller)| (product.uuid(), seller.uuid())).unzip();
    sqlx::query!(
        "INSERT INTO products (id, seller_id)
         SELECT id, seller_id FROM unnest($1::uuid[], $2::uuid[]) AS sold (id, seller_id) ORDER BY id
         ON CONFLICT (id) DO UPDATE SET seller_id = excluded.seller_id
             WHERE products.seller_id <> excluded.seller_id",
        &products,
        &sellers,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Products with stock whose seller is not known, after this one by id. What is retired is left out: of most of it
/// the catalog knows nothing any more.
pub async fn products_without_seller(
    connection: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT product_id AS "product_id!" FROM stock
           WHERE product_id IS NOT NULL AND NOT retired AND ($1::uuid IS NULL OR product_id > $1)
             AND NOT EXISTS (SELECT FROM products WHERE id = stock.product_id)
           ORDER BY 1 LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(connection)
    .await
}
