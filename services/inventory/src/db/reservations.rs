//! What is held for orders.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::OrderId;
use contracts::events::{Shortage, StockAvailable};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, available_again, depleted, low, parsed};
use crate::shelf::Taken;
use crate::stock::{Demand, Kind, State};

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

/// Locks the reservations of these orders, and then the stock of these SKUs, of what the orders hold and of
/// these products; what is not there is passed over.
pub async fn lock_all(
    connection: &mut PgConnection,
    orders_and_products: &[Uuid],
    skus: &[String],
) -> Result<()> {
    sqlx::query!(
        "SELECT FROM reservations WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
        orders_and_products,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "SELECT FROM stock WHERE sku IN (
             SELECT unnest($2::text[])
             UNION SELECT sku FROM reservation_lines WHERE order_id = ANY($1)
             UNION SELECT sku FROM stock WHERE product_id = ANY($1))
         ORDER BY sku FOR UPDATE",
        orders_and_products,
        skus,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks a pending reservation that ran out of time longer ago than `grace`, or has more than twice the time that
/// reservations have: the database's clock was set back. Skips those that another transaction has locked.
pub async fn lock_overdue(
    connection: &mut PgConnection,
    grace: Duration,
    ttl: Duration,
) -> Result<Option<OrderId>> {
    let order = sqlx::query_scalar!(
        "SELECT order_id FROM reservations
         WHERE state = 'pending' AND (expires_at < now() - make_interval(secs => $1)
             OR expires_at > now() + 2 * make_interval(secs => $2))
         ORDER BY expires_at LIMIT 1 FOR UPDATE SKIP LOCKED",
        grace.as_secs_f64(),
        ttl.as_secs_f64(),
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

/// What became of an order's demand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    /// What there is too little of; nothing is held if there is any.
    pub shortages: Vec<Shortage>,
    /// What is to be told of what is held.
    pub taken: Taken,
}

/// Holds everything that the order needs, or nothing and says what there is too little of. Of what is
/// retired there is nothing.
///
/// One statement checks and updates: `locked` sees each row as it is once nobody else holds it,
/// which the snapshot of the statement would not. The update takes its values from there too: Postgres
/// checks constraints against what a row of the snapshot would become before it looks for a newer one,
/// and would refuse units that came back meanwhile.
pub async fn reserve(
    connection: &mut PgConnection,
    order: OrderId,
    demand: &Demand,
) -> Result<Reserved> {
    let (skus, quantities) = demand.columns();
    let rows = sqlx::query!(
        r#"WITH wanted AS MATERIALIZED (
            SELECT sku, quantity FROM unnest($2::text[], $3::bigint[]) AS line (sku, quantity)
        ), locked AS MATERIALIZED (
            SELECT stock.id, stock.sku, stock.product_id, stock.reserved, stock.low_threshold,
                wanted.quantity,
                CASE WHEN stock.retired THEN 0 ELSE stock.available END AS available
            FROM stock JOIN wanted USING (sku) ORDER BY stock.sku FOR UPDATE OF stock
        ), short AS MATERIALIZED (
            SELECT sku, wanted.quantity, coalesce(locked.available, 0) AS available
            FROM wanted LEFT JOIN locked USING (sku)
            WHERE NOT coalesce(locked.available >= wanted.quantity, false)
        ), taken AS (
            UPDATE stock SET available = locked.available - locked.quantity,
                reserved = locked.reserved + locked.quantity,
                version = version + 1, updated_at = now()
            FROM locked WHERE stock.sku = locked.sku AND NOT EXISTS (SELECT FROM short)
            RETURNING locked.id, stock.sku, locked.product_id, locked.quantity,
                locked.low_threshold, locked.available AS before, stock.available AS after
        ), held AS (
            INSERT INTO reservation_lines (order_id, sku, quantity)
            SELECT $1, sku, quantity FROM taken
            ON CONFLICT (order_id, sku) DO UPDATE SET quantity = excluded.quantity
        ), noted AS (
            INSERT INTO movements (sku, kind, quantity, available_delta, reserved_delta, order_id)
            SELECT sku, 'reserve', quantity, -quantity, quantity, $1 FROM taken
        )
        SELECT sku AS "sku!", quantity AS "quantity!", available AS "available!",
            NULL::uuid AS "id?", NULL::bigint AS "threshold?", NULL::uuid AS "product?"
        FROM short
        UNION ALL
        SELECT sku, quantity, after, id, low_threshold, NULL FROM taken
        WHERE before > low_threshold AND after <= low_threshold
        UNION ALL
        SELECT sku, quantity, after, id, NULL, product_id FROM taken
        WHERE after = 0 AND product_id IS NOT NULL
        ORDER BY 1"#,
        order.uuid(),
        &skus,
        &quantities,
    )
    .fetch_all(connection)
    .await?;
    let mut reserved = Reserved::default();
    for row in rows {
        if let Some((id, threshold)) = row.id.zip(row.threshold) {
            reserved.taken.low.push(low(id.into(), &row.sku, row.available, threshold)?);
            continue;
        }
        if let Some((id, product)) = row.id.zip(row.product) {
            reserved.taken.depleted.push(depleted(id.into(), &row.sku, product.into())?);
            continue;
        }
        let requested = u32::try_from(row.quantity).unwrap_or(u32::MAX);
        let sku = parsed(&row.sku)?;
        reserved.shortages.push(Shortage { sku, requested, available: row.available });
    }
    Ok(reserved)
}

/// Moves all units of an order's lines at once, and says of what there are units again.
pub async fn settle(
    connection: &mut PgConnection,
    order: OrderId,
    kind: Kind,
) -> Result<Vec<StockAvailable>> {
    let (available, reserved) = kind.signs();
    let rows = sqlx::query!(
        r#"WITH locked AS MATERIALIZED (
            SELECT stock.sku, stock.available, line.quantity
            FROM stock JOIN reservation_lines line USING (sku) WHERE line.order_id = $1
            ORDER BY stock.sku FOR UPDATE OF stock
        ), moved AS (
            UPDATE stock SET available = stock.available + $3 * locked.quantity,
                reserved = stock.reserved + $4 * locked.quantity,
                version = version + 1, updated_at = now()
            FROM locked WHERE stock.sku = locked.sku
            RETURNING stock.id, stock.sku, stock.product_id, stock.retired, locked.quantity,
                locked.available AS before, stock.available AS after
        ), noted AS (
            INSERT INTO movements (sku, kind, quantity, available_delta, reserved_delta, order_id)
            SELECT sku, $2, quantity, $3 * quantity, $4 * quantity, $1 FROM moved
        )
        SELECT id, sku, product_id AS "product_id!", after FROM moved
        WHERE before <= 0 AND after > 0 AND product_id IS NOT NULL AND NOT retired
        ORDER BY sku"#,
        order.uuid(),
        kind as Kind,
        available,
        reserved,
    )
    .fetch_all(connection)
    .await?;
    let again = rows.into_iter().map(|row| {
        let (id, product) = (row.id.into(), row.product_id.into());
        available_again(id, &row.sku, product, row.after, kind.restocks())
    });
    again.collect()
}
