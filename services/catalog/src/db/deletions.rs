//! How Postgres keeps what becomes of products that are to be deleted. Whoever changes a row has locked
//! its product.

use contracts::{ProductId, Sku};
use sqlx::PgConnection;

use crate::deletion::{Reason, Request, State};

/// How long inventory may take to answer, in seconds. Until then nobody can buy the product; a service
/// that is rolled out or whose Kafka is away for a moment needs less.
const DEADLINE: f64 = 5.0 * 60.0;

/// What was asked last about this product.
pub async fn deletion_request(
    connection: &mut PgConnection,
    id: ProductId,
) -> Result<Option<Request>, sqlx::Error> {
    sqlx::query_as!(
        Request,
        r#"SELECT state AS "state: State", on_sale, answered FROM deletions WHERE product_id = $1"#,
        id.uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// Notes that a product is to be deleted, and whether it is on sale until now.
pub async fn begin_deletion(
    connection: &mut PgConnection,
    id: ProductId,
    on_sale: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO deletions (product_id, state, on_sale, answered, deadline)
         VALUES ($1, 'deleting', $2, false, now() + make_interval(secs => $3))
         ON CONFLICT (product_id) DO UPDATE
         SET state = excluded.state, reason = NULL, reserved = NULL, on_sale = excluded.on_sale,
             answered = excluded.answered, deadline = excluded.deadline",
        id.uuid(),
        on_sale,
        DEADLINE,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Notes that a product is not to be deleted after all.
pub async fn withdraw_deletion(
    connection: &mut PgConnection,
    id: ProductId,
    reason: Reason,
    reserved: Option<i64>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE deletions SET state = 'withdrawn', reason = $2, reserved = $3 WHERE product_id = $1",
        id.uuid(),
        reason as Reason,
        reserved,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Notes that inventory has answered.
pub async fn deletion_answered(
    connection: &mut PgConnection,
    id: ProductId,
) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE deletions SET answered = true WHERE product_id = $1", id.uuid())
        .execute(connection)
        .await
        .map(|_| ())
}

/// Products about whose deletion inventory has said nothing in time, kept from changing until the
/// transaction ends. Skips those that another transaction has locked. A deadline that is further away than twice
/// the time that inventory has was set before the clock was set back.
pub async fn lock_overdue(
    connection: &mut PgConnection,
    most: i64,
) -> Result<Vec<ProductId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM products JOIN deletions ON product_id = id
         WHERE state = 'deleting'
           AND (deadline < now() OR deadline > now() + 2 * make_interval(secs => $2))
         ORDER BY deadline LIMIT $1 FOR UPDATE OF products SKIP LOCKED",
        most,
        DEADLINE,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(ProductId::from).collect())
}

/// Every SKU that the product or a variant of it has or has had: units of any may be held.
pub async fn skus_of(
    connection: &mut PgConnection,
    id: ProductId,
) -> Result<Vec<Sku>, sqlx::Error> {
    let skus =
        sqlx::query_scalar!("SELECT sku FROM skus WHERE product_id = $1 ORDER BY sku", id.uuid())
            .fetch_all(connection)
            .await?;
    let skus = skus.iter().map(|sku| sku.parse());
    skus.collect::<Result<_, _>>().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Removes a product for good. Its SKUs stay its own.
pub async fn delete(connection: &mut PgConnection, id: ProductId) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM products WHERE id = $1", id.uuid())
        .execute(connection)
        .await
        .map(|_| ())
}
