//! The stored events of many orders, and the rows that they should add up to.

use chrono::{DateTime, Utc};
use contracts::UserId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// Key of the lock that rebuilds take in turns; any number that nothing else in this database
/// locks. (Idempotency keys lock hashes.)
const REBUILD: i64 = 0x0072_6562_7569_6c64;

/// One stored event, whatever it says.
pub struct Stored {
    /// The order.
    pub order_id: Uuid,
    /// Its place in the history, from 1.
    pub seq: i64,
    /// What stands for it in the history.
    pub name: String,
    /// What it says.
    pub payload: Value,
    /// When it happened.
    pub at: DateTime<Utc>,
}

impl Stored {
    /// The event; fails when it is none that this release knows.
    pub fn event(&self) -> Result<crate::event::Event, sqlx::Error> {
        super::event(&self.name, &self.payload)
    }
}

/// Waits until no other rebuild is within a batch, and keeps others out until the transaction ends:
/// a row that is missing cannot be locked.
pub async fn lock_rebuild(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT FROM pg_advisory_xact_lock($1)", REBUILD).execute(connection).await?;
    Ok(())
}

/// The next orders after this one that have events or a row, by id.
pub async fn batch(
    connection: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    // Each side is limited by itself, so that a batch costs the same however many follow it.
    sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM (
               (SELECT DISTINCT order_id AS id FROM order_events WHERE order_id > $1
                ORDER BY order_id LIMIT $2)
               UNION
               (SELECT id FROM orders WHERE id > $1 ORDER BY id LIMIT $2)
           ) next ORDER BY id LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Keeps the rows of these orders from changing until the transaction ends, however damaged they
/// are. Returns whose they are said to be.
pub async fn lock_rows(
    connection: &mut PgConnection,
    orders: &[Uuid],
) -> Result<Vec<(Uuid, UserId)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, user_id FROM orders WHERE id = ANY($1) ORDER BY id FOR UPDATE",
        orders,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.user_id.into())).collect())
}

/// The events of these orders, by order, oldest first.
pub async fn histories(
    connection: &mut PgConnection,
    orders: &[Uuid],
) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        "SELECT order_id, seq, type AS name, payload, created_at AS at FROM order_events
         WHERE order_id = ANY($1) ORDER BY order_id, seq",
        orders,
    )
    .fetch_all(connection)
    .await
}

/// Removes the row of an order that nothing has ever happened to.
pub async fn remove(connection: &mut PgConnection, order: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM orders WHERE id = $1", order).execute(connection).await?;
    Ok(())
}
