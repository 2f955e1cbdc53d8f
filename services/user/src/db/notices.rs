//! What is there again, and who has to be told, in Postgres.

use contracts::{EventId, ProductId, Sku, UserId};
use kit::purge::{BATCH, until_none};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;

/// What is there again.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The event that has said so.
    pub event_id: EventId,
    /// The product.
    pub product_id: ProductId,
    /// What of it.
    pub sku: Sku,
    /// Who was told last.
    pub told: Option<Uuid>,
}

/// Notes that there is something again.
pub async fn note(tx: &mut PgConnection, notice: &Notice) -> Result<()> {
    sqlx::query!(
        "INSERT INTO notices (event_id, product_id, sku) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        notice.event_id.uuid(),
        notice.product_id.uuid(),
        notice.sku.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks the oldest notice that nobody else is at.
pub async fn lock(tx: &mut PgConnection) -> Result<Option<Notice>> {
    let found = sqlx::query!(
        "SELECT event_id, product_id, sku, told FROM notices
         ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .fetch_optional(tx)
    .await?;
    let Some(row) = found else { return Ok(None) };
    Ok(Some(Notice {
        event_id: row.event_id.into(),
        product_id: row.product_id.into(),
        sku: row.sku.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        told: row.told,
    }))
}

/// The next who keep the product of a notice, up to so many, in the order of their ids. Who is blocked could not buy it.
pub async fn keepers(tx: &mut PgConnection, notice: &Notice, most: i64) -> Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        "SELECT user_id FROM favourites f
         WHERE product_id = $1 AND ($2::uuid IS NULL OR user_id > $2)
           AND EXISTS (SELECT FROM accounts a WHERE a.id = f.user_id AND a.blocked_at IS NULL)
         ORDER BY user_id LIMIT $3",
        notice.product_id.uuid(),
        notice.told,
        most,
    )
    .fetch_all(tx)
    .await?;
    Ok(users.into_iter().map(UserId::from).collect())
}

/// Notes who was told last.
pub async fn advance(tx: &mut PgConnection, event: EventId, told: UserId) -> Result<()> {
    sqlx::query!("UPDATE notices SET told = $2 WHERE event_id = $1", event.uuid(), told.uuid())
        .execute(tx)
        .await?;
    Ok(())
}

/// Everybody has been told.
pub async fn finish(tx: &mut PgConnection, event: EventId) -> Result<()> {
    sqlx::query!("DELETE FROM notices WHERE event_id = $1", event.uuid()).execute(tx).await?;
    Ok(())
}

/// Removes a deleted product from all favourites, in statements that each end before their timeout: half of the shop
/// may keep it.
pub async fn forget(tx: &mut PgConnection, product: ProductId) -> Result<()> {
    sqlx::query!("DELETE FROM notices WHERE product_id = $1", product.uuid())
        .execute(&mut *tx)
        .await?;
    let favourites = || {
        sqlx::query!(
            "DELETE FROM favourites WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM favourites WHERE product_id = $1 LIMIT $2))",
            product.uuid(),
            BATCH,
        )
    };
    until_none(tx, favourites).await?;
    Ok(())
}
