//! What inventory keeps in Postgres. Who needs several rows locks the reservation first and stock
//! afterwards, sorted by SKU, so that nobody waits in a circle.

mod reservations;

use chrono::{DateTime, Utc};
use contracts::{Sku, UserId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::stock::Kind;

pub use reservations::{close, lock, lock_overdue, open, reserve, set_state, settle};

type Result<T> = sqlx::Result<T>;

/// A row of stock.
#[derive(Clone, Debug)]
pub struct Stock {
    /// Stock keeping unit.
    pub sku: String,
    /// Units that can be reserved.
    pub available: i64,
    /// Units that are held for orders.
    pub reserved: i64,
    /// At or below this many available units the stock is low.
    pub low_threshold: Option<i64>,
    /// Grows by one with every change.
    pub version: i64,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

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
}

/// Takes in units; a SKU that is not known yet becomes so. Without a threshold the old one stays.
pub async fn supply(
    connection: &mut PgConnection,
    sku: &Sku,
    quantity: i64,
    low_threshold: Option<i64>,
    reason: &Reason,
) -> Result<Stock> {
    let stock = sqlx::query_as!(
        Stock,
        "INSERT INTO stock (sku, available, low_threshold) VALUES ($1, $2, $3)
         ON CONFLICT (sku) DO UPDATE SET available = stock.available + $2,
             low_threshold = coalesce($3, stock.low_threshold),
             version = stock.version + 1, updated_at = now()
         RETURNING sku, available, reserved, low_threshold, version, updated_at",
        sku.as_str(),
        quantity,
        low_threshold,
    )
    .fetch_one(&mut *connection)
    .await?;
    note(connection, sku, Kind::Supply, quantity, reason).await?;
    Ok(stock)
}

/// Corrects the available units; none when the SKU is not known.
pub async fn adjust(
    connection: &mut PgConnection,
    sku: &Sku,
    delta: i64,
    reason: &Reason,
) -> Result<Option<Stock>> {
    let stock = sqlx::query_as!(
        Stock,
        "UPDATE stock SET available = available + $2, version = version + 1, updated_at = now()
         WHERE sku = $1
         RETURNING sku, available, reserved, low_threshold, version, updated_at",
        sku.as_str(),
        delta,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if stock.is_some() {
        note(connection, sku, Kind::Adjustment, delta, reason).await?;
    }
    Ok(stock)
}

async fn note(
    connection: &mut PgConnection,
    sku: &Sku,
    kind: Kind,
    quantity: i64,
    reason: &Reason,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO movements
             (sku, kind, quantity, available_delta, reserved_delta, user_id, note)
         VALUES ($1, $2, $3, $3, 0, $4, $5)",
        sku.as_str(),
        kind as Kind,
        quantity,
        reason.user.map(UserId::uuid),
        reason.note,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether the SKU has never been in stock.
pub async fn is_unknown(connection: &mut PgConnection, sku: &Sku) -> Result<bool> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM stock WHERE sku = $1) AS "known!""#,
        sku.as_str(),
    );
    Ok(!known.fetch_one(connection).await?)
}

/// The available units of these SKUs; unknown ones are absent.
pub async fn available(
    connection: &mut PgConnection,
    skus: &[String],
) -> Result<Vec<(String, i64)>> {
    let rows = sqlx::query!("SELECT sku, available FROM stock WHERE sku = ANY($1)", skus)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.sku, row.available)).collect())
}

/// A page of stock, by SKU.
pub async fn list(connection: &mut PgConnection, window: &Window<String>) -> Result<Vec<Stock>> {
    sqlx::query_as!(
        Stock,
        "SELECT sku, available, reserved, low_threshold, version, updated_at FROM stock
         WHERE $1::text IS NULL OR sku > $1 ORDER BY sku LIMIT $2 OFFSET $3",
        window.after.as_deref(),
        window.fetch(),
        window.offset,
    )
    .fetch_all(connection)
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
               user_id, note, created_at
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

/// How many SKUs are low.
pub async fn count_low(connection: &mut PgConnection) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM stock WHERE available <= low_threshold"#
    );
    count.fetch_one(connection).await
}
