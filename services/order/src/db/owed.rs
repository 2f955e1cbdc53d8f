//! Orders whose money or goods have yet to come back, and when the other services were last asked for them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::OrderId;
use contracts::events::{OrderLine, OrderSource};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Row;
use crate::event::{Fulfilment, Payment, Reason, State};
use crate::order::Order;

/// An order that waits.
#[derive(Clone, Debug)]
pub struct Owed {
    /// The order.
    pub order: OrderId,
    /// How far it has come.
    pub state: String,
    /// Where the money is.
    pub payment: String,
    /// Where the goods are.
    pub fulfilment: String,
    /// Since when nothing has happened to it.
    pub since: DateTime<Utc>,
    /// How often the others were asked again.
    pub times: i32,
}

/// How many orders have waited for so long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// For their money.
    pub money: i64,
    /// For their goods to be in stock again.
    pub goods: i64,
}

/// Locks orders that have waited since they changed for `first`, and since the others were last asked for twice as
/// long each time, up to `longest`; skips those that another transaction has locked. What happened in the future happened
/// before the clock was set back, and is no reason to wait.
pub async fn lock_owed(
    connection: &mut PgConnection,
    first: Duration,
    longest: Duration,
    limit: i64,
) -> Result<Vec<Order>, sqlx::Error> {
    let rows = select_orders!(
        "WHERE (payment = 'refund_requested' OR state IN ('cancelling', 'returning'))
           AND fulfilment <> 'returning'
           AND (updated_at <= now() - make_interval(secs => $1)
                OR updated_at > now() + interval '1 min')
           AND NOT EXISTS (
               SELECT FROM reminders WHERE order_id = orders.id AND asked_at
                   BETWEEN now() - make_interval(secs => least($1 * 2.0 ^ least(times, 30), $2))
                       AND now() + interval '1 min')
         ORDER BY updated_at LIMIT $3 FOR UPDATE SKIP LOCKED",
        first.as_secs_f64(),
        longest.as_secs_f64(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Order::try_from).collect()
}

/// Records that the others are asked again; returns how often they were.
pub async fn record_request(
    connection: &mut PgConnection,
    order: OrderId,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO reminders (order_id) VALUES ($1)
         ON CONFLICT (order_id) DO UPDATE SET asked_at = now(), times = reminders.times + 1
         RETURNING times",
        order.uuid(),
    )
    .fetch_one(connection)
    .await
}

/// The next orders after this one that wait, by id.
pub async fn owed(
    connection: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Owed>, sqlx::Error> {
    sqlx::query_as!(
        Owed,
        r#"SELECT id AS "order", state, payment, fulfilment, updated_at AS since,
               coalesce(times, 0) AS "times!"
           FROM orders LEFT JOIN reminders ON order_id = id
           WHERE (payment = 'refund_requested' OR state IN ('cancelling', 'returning'))
             AND fulfilment <> 'returning' AND id > $1
           ORDER BY id LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// How many orders have waited for so long.
pub async fn overdue(
    connection: &mut PgConnection,
    after: Duration,
) -> Result<Overdue, sqlx::Error> {
    sqlx::query_as!(
        Overdue,
        r#"SELECT count(*) FILTER (WHERE payment = 'refund_requested') AS "money!",
               count(*) FILTER (WHERE state = 'cancelling' AND fulfilment = 'reserved'
                                   OR state = 'returning' AND fulfilment = 'received') AS "goods!"
           FROM orders
           WHERE (payment = 'refund_requested' OR state IN ('cancelling', 'returning'))
             AND updated_at <= now() - make_interval(secs => $1)"#,
        after.as_secs_f64(),
    )
    .fetch_one(connection)
    .await
}
