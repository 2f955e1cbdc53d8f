//! The same for many orders at once: one statement where each would need its own. Their reservations and the stock
//! that they need are to be locked ([`super::lock_all`]).

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::{OrderId, Sku};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, parsed};
use crate::shelf::{Shelf, Shelves};
use crate::stock::{Demand, State};

fn uuids(orders: &[OrderId]) -> Vec<Uuid> {
    orders.iter().map(|order| order.uuid()).collect()
}

/// Begins the reservations of orders and says until when they last; an order that is known is absent.
pub async fn open_all(
    connection: &mut PgConnection,
    orders: &[OrderId],
    ttl: Duration,
) -> Result<HashMap<OrderId, DateTime<Utc>>> {
    let rows = sqlx::query!(
        r#"INSERT INTO reservations (order_id, state, expires_at)
           SELECT order_id, 'pending', now() + make_interval(secs => $2)
           FROM unnest($1::uuid[]) AS placed (order_id)
           ON CONFLICT DO NOTHING RETURNING order_id, expires_at AS "expires_at!""#,
        &uuids(orders),
        ttl.as_secs_f64(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.order_id.into(), row.expires_at)).collect())
}

/// What there is of these SKUs, locked until the transaction ends. Of what is retired there is nothing.
pub async fn shelves(connection: &mut PgConnection, skus: &[Sku]) -> Result<Shelves> {
    let skus: Vec<String> = skus.iter().map(Sku::to_string).collect();
    let rows = sqlx::query!(
        r#"SELECT id, sku, product_id, CASE WHEN retired THEN 0 ELSE available END AS "available!", low_threshold
           FROM stock WHERE sku = ANY($1) ORDER BY sku FOR UPDATE"#,
        &skus,
    )
    .fetch_all(connection)
    .await?;
    let shelf = rows.into_iter().map(|row| {
        let (id, available, low_threshold) = (row.id.into(), row.available, row.low_threshold);
        let product_id = row.product_id.map(Into::into);
        Ok((parsed(&row.sku)?, Shelf { id, product_id, available, low_threshold }))
    });
    Ok(Shelves(shelf.collect::<Result<_>>()?))
}

/// Holds what orders need, for which there is enough, and notes which orders there is too little for.
pub async fn hold_all(
    connection: &mut PgConnection,
    held: &[(OrderId, &Demand)],
    rejected: &[OrderId],
) -> Result<()> {
    let (mut orders, mut skus, mut quantities) = (Vec::new(), Vec::new(), Vec::new());
    for (order, demand) in held {
        for (sku, quantity) in demand.lines() {
            orders.push(order.uuid());
            skus.push(sku.to_string());
            quantities.push(quantity);
        }
    }
    sqlx::query!(
        "WITH line AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[]) WITH ORDINALITY
                AS line (order_id, sku, quantity, place)
        ), sold AS (
            SELECT sku, sum(quantity)::bigint AS units, count(*) AS orders FROM line GROUP BY sku
        ), taken AS (
            UPDATE stock SET available = available - units, reserved = reserved + units,
                version = version + orders, updated_at = now()
            FROM sold WHERE stock.sku = sold.sku
        ), refused AS (
            UPDATE reservations SET state = 'rejected', updated_at = now()
            WHERE order_id = ANY($4)
        ), held AS (
            INSERT INTO reservation_lines (order_id, sku, quantity)
            SELECT order_id, sku, quantity FROM line
        )
        INSERT INTO movements (sku, kind, quantity, available_delta, reserved_delta, order_id)
        SELECT sku, 'reserve', quantity, -quantity, quantity, order_id FROM line ORDER BY place",
        &orders,
        &skus,
        &quantities,
        &uuids(rejected),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The states of orders' reservations, locked until the transaction ends.
pub async fn lock_each(
    connection: &mut PgConnection,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, State>> {
    let rows = sqlx::query!(
        r#"SELECT order_id, state AS "state: State" FROM reservations
           WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE"#,
        &uuids(orders),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.order_id.into(), row.state)).collect())
}

/// Lets what orders hold leave.
pub async fn commit_all(connection: &mut PgConnection, orders: &[OrderId]) -> Result<()> {
    sqlx::query!(
        "WITH line AS MATERIALIZED (
            SELECT order_id, sku, quantity FROM reservation_lines WHERE order_id = ANY($1)
        ), locked AS MATERIALIZED (
            SELECT sku FROM stock WHERE sku IN (SELECT sku FROM line) ORDER BY sku FOR UPDATE
        ), sold AS (
            SELECT sku, sum(quantity)::bigint AS units, count(*) AS orders
            FROM line JOIN locked USING (sku) GROUP BY sku
        ), moved AS (
            UPDATE stock SET reserved = reserved - units, version = version + orders,
                updated_at = now()
            FROM sold WHERE stock.sku = sold.sku
        ), settled AS (
            UPDATE reservations SET state = 'committed', updated_at = now()
            WHERE order_id = ANY($1)
        )
        INSERT INTO movements (sku, kind, quantity, available_delta, reserved_delta, order_id)
        SELECT sku, 'commit', quantity, 0, -quantity, order_id FROM line",
        &uuids(orders),
    )
    .execute(connection)
    .await?;
    Ok(())
}
