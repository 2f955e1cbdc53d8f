//! Favourites in Postgres.

use chrono::{DateTime, Utc};
use contracts::{ProductId, UserId};
use kit::page::Window;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;

/// What an account's owner likes.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Favourite {
    /// The product.
    pub product_id: ProductId,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Where a page of favourites ends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Key(pub DateTime<Utc>, pub ProductId);

/// Adds a favourite, which may be one already; false if the account has `most` others.
///
/// The caller has locked the account, for the statement counts what was there when it began.
pub async fn add(
    tx: &mut PgConnection,
    user: UserId,
    product: ProductId,
    most: i64,
) -> Result<bool> {
    sqlx::query_scalar!(
        r#"WITH room AS (
             SELECT count(*) < $3 AS room FROM favourites WHERE user_id = $1 AND product_id <> $2
         ), added AS (
             INSERT INTO favourites (user_id, product_id) SELECT $1, $2 FROM room WHERE room
             ON CONFLICT DO NOTHING
         )
         SELECT room AS "room!" FROM room"#,
        user.uuid(),
        product.uuid(),
        most,
    )
    .fetch_one(tx)
    .await
}

/// Removes a favourite, which need not be one.
pub async fn remove(tx: &mut PgConnection, user: UserId, product: ProductId) -> Result<()> {
    sqlx::query!(
        "DELETE FROM favourites WHERE user_id = $1 AND product_id = $2",
        user.uuid(),
        product.uuid(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Favourites, the newest first.
pub async fn list(
    tx: &mut PgConnection,
    user: UserId,
    window: &Window<Key>,
) -> Result<Vec<Favourite>> {
    let (since, product): (Option<DateTime<Utc>>, Option<Uuid>) =
        window.after.map(|Key(since, product)| (since, product.uuid())).unzip();
    let rows = sqlx::query!(
        "SELECT product_id, created_at FROM favourites
         WHERE user_id = $1 AND ($2::timestamptz IS NULL OR (created_at, product_id) < ($2, $3::uuid))
         ORDER BY created_at DESC, product_id DESC OFFSET $4 LIMIT $5",
        user.uuid(),
        since,
        product,
        window.offset,
        window.fetch(),
    )
    .fetch_all(tx)
    .await?;
    let favourite =
        |product: Uuid, created_at| Favourite { product_id: product.into(), created_at };
    Ok(rows.into_iter().map(|row| favourite(row.product_id, row.created_at)).collect())
}
