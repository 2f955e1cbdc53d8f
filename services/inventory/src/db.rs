//! What inventory keeps in Postgres. Who needs several rows locks the reservation first and stock
//! afterwards, sorted by SKU, so that nobody waits in a circle.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::events::Shortage;
use contracts::{OrderId, Sku, UserId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::stock::{Demand, Kind, State};

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

/// Begins the reservation of an order and says until when it lasts; none when the order is known,
/// because this event came before or the order has ended already.
pub async fn open(
    connection: &mut PgConnection,
    order: OrderId,
    ttl: Duration,
) -> Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"INSERT INTO reservations (order_id, state, expires_at)
           VALUES ($1, 'pending', now() + make_interval(secs => $2))
           ON CONFLICT DO NOTHING RETURNING expires_at AS "expires_at!""#,
        order.uuid(),
        ttl.as_secs_f64(),
    )
    .fetch_optional(connection)
    .await
}

/// The state of an order's reservation, locked until the transaction ends.
pub async fn lock(connection: &mut PgConnection, order: OrderId) -> Result<Option<State>> {
    sqlx::query_scalar!(
        r#"SELECT state AS "state: State" FROM reservations WHERE order_id = $1 FOR UPDATE"#,
        order.uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// Locks a pending reservation that ran out of time longer ago than `grace`; none that somebody
/// else is busy with.
pub async fn lock_overdue(
    connection: &mut PgConnection,
    grace: Duration,
) -> Result<Option<OrderId>> {
    let order = sqlx::query_scalar!(
        "SELECT order_id FROM reservations
         WHERE state = 'pending' AND expires_at < now() - make_interval(secs => $1)
         ORDER BY expires_at LIMIT 1 FOR UPDATE SKIP LOCKED",
        grace.as_secs_f64(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(order.map(OrderId::from))
}

/// Sets the state of an order's reservation, which need not exist.
pub async fn set_state(connection: &mut PgConnection, order: OrderId, state: State) -> Result<()> {
    sqlx::query!(
        "INSERT INTO reservations (order_id, state) VALUES ($1, $2)
         ON CONFLICT (order_id) DO UPDATE SET state = $2, updated_at = now()",
        order.uuid(),
        state as State,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that an order has ended of which nothing was known. Fails when it has become known
/// meanwhile.
pub async fn close(connection: &mut PgConnection, order: OrderId) -> Result<()> {
    sqlx::query!(
        "INSERT INTO reservations (order_id, state) VALUES ($1, 'released')",
        order.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Holds everything that the order needs, or nothing and says what there is too little of.
///
/// One statement checks and updates: `locked` sees each row as it is once nobody else holds it,
/// which is what the snapshot of a statement that was made earlier would not.
pub async fn reserve(
    connection: &mut PgConnection,
    order: OrderId,
    demand: &Demand,
) -> Result<Vec<Shortage>> {
    let (skus, quantities) = demand.columns();
    let rows = sqlx::query!(
        r#"WITH wanted AS MATERIALIZED (
            SELECT sku, quantity FROM unnest($2::text[], $3::bigint[]) AS line (sku, quantity)
        ), locked AS MATERIALIZED (
            SELECT stock.sku, stock.available, wanted.quantity
            FROM stock JOIN wanted USING (sku) ORDER BY stock.sku FOR UPDATE OF stock
        ), short AS MATERIALIZED (
            SELECT sku, wanted.quantity, coalesce(locked.available, 0) AS available
            FROM wanted LEFT JOIN locked USING (sku)
            WHERE NOT coalesce(locked.available >= wanted.quantity, false)
        ), taken AS (
            UPDATE stock SET available = stock.available - locked.quantity,
                reserved = stock.reserved + locked.quantity,
                version = version + 1, updated_at = now()
            FROM locked WHERE stock.sku = locked.sku AND NOT EXISTS (SELECT FROM short)
            RETURNING stock.sku, locked.quantity
        ), held AS (
            INSERT INTO reservation_lines (order_id, sku, quantity)
            SELECT $1, sku, quantity FROM taken
            ON CONFLICT (order_id, sku) DO UPDATE SET quantity = excluded.quantity
        ), noted AS (
            INSERT INTO movements (sku, kind, quantity, available_delta, reserved_delta, order_id)
            SELECT sku, 'reserve', quantity, -quantity, quantity, $1 FROM taken
        )
        SELECT sku AS "sku!", quantity AS "quantity!", available AS "available!"
        FROM short ORDER BY sku"#,
        order.uuid(),
        &skus,
        &quantities,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let sku = row.sku.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let requested = u32::try_from(row.quantity).unwrap_or(u32::MAX);
            Ok(Shortage { sku, requested, available: row.available })
        })
        .collect()
}

/// Moves all units of an order's lines at once.
pub async fn settle(connection: &mut PgConnection, order: OrderId, kind: Kind) -> Result<()> {
    let (available, reserved) = kind.signs();
    sqlx::query!(
        "WITH locked AS MATERIALIZED (
            SELECT stock.sku, line.quantity
            FROM stock JOIN reservation_lines line USING (sku) WHERE line.order_id = $1
            ORDER BY stock.sku FOR UPDATE OF stock
        ), moved AS (
            UPDATE stock SET available = available + $3 * locked.quantity,
                reserved = reserved + $4 * locked.quantity,
                version = version + 1, updated_at = now()
            FROM locked WHERE stock.sku = locked.sku
            RETURNING stock.sku, locked.quantity
        )
        INSERT INTO movements (sku, kind, quantity, available_delta, reserved_delta, order_id)
        SELECT sku, $2, quantity, $3 * quantity, $4 * quantity, $1 FROM moved",
        order.uuid(),
        kind as Kind,
        available,
        reserved,
    )
    .execute(connection)
    .await?;
    Ok(())
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
