//! The history: what has moved, and why.

use chrono::{DateTime, Utc};
use contracts::{Sku, UserId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;
use crate::stock::Kind;

/// A row of the history.
#[derive(Clone, Debug)]
pub struct Movement {
    /// Grows with time.
    pub id: i64,
    /// Why.
    pub kind: Kind,
    /// How many units; negative only for adjustments.
    pub quantity: i64,
    /// What it did to available.
    pub available_delta: i64,
    /// What it did to reserved.
    pub reserved_delta: i64,
    /// The order that caused it.
    pub order_id: Option<Uuid>,
    /// The announcement that said that it would come.
    pub announcement_id: Option<Uuid>,
    /// The person who caused it.
    pub user_id: Option<Uuid>,
    /// What that person had to say.
    pub note: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Who moves units by hand, and why.
#[derive(Clone, Debug, Default)]
pub struct Reason {
    /// The person.
    pub user: Option<UserId>,
    /// What that person has to say.
    pub note: Option<String>,
    /// The announcement of what comes in.
    pub announcement: Option<Uuid>,
}

/// Notes what somebody has moved.
pub(super) async fn note(
    connection: &mut PgConnection,
    sku: &Sku,
    kind: Kind,
    quantity: i64,
    reason: &Reason,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO movements
             (sku, kind, quantity, available_delta, reserved_delta, user_id, note,
              announcement_id)
         VALUES ($1, $2, $3, $3, 0, $4, $5, $6)",
        sku.as_str(),
        kind as Kind,
        quantity,
        reason.user.map(UserId::uuid),
        reason.note,
        reason.announcement,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether units of the SKU have ever moved; a row may be there because of its product alone.
pub async fn has_moved(connection: &mut PgConnection, sku: &Sku) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM movements WHERE sku = $1) AS "moved!""#,
        sku.as_str(),
    )
    .fetch_one(connection)
    .await
}

/// A page of the history of a SKU, the latest first.
pub async fn movements(
    connection: &mut PgConnection,
    sku: &Sku,
    window: &Window<i64>,
) -> Result<Vec<Movement>> {
    sqlx::query_as!(
        Movement,
        r#"SELECT id, kind AS "kind: Kind", quantity, available_delta, reserved_delta, order_id,
               announcement_id, user_id, note, created_at
           FROM movements WHERE sku = $1 AND ($2::bigint IS NULL OR id < $2)
           ORDER BY id DESC LIMIT $3 OFFSET $4"#,
        sku.as_str(),
        window.after,
        window.fetch(),
        window.offset,
    )
    .fetch_all(connection)
    .await
}
