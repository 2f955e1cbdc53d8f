//! Orders that wait for what has to go back, and when the others were last asked for it.

use std::time::Duration;

use contracts::OrderId;
use contracts::events::{OrderLine, OrderSource};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Row;
use crate::event::{Fulfilment, Payment, Reason, State};
use crate::order::Order;

/// Locks orders that have waited for so long since they changed, and since the others were asked again;
/// skips those that somebody else is working on.
pub async fn lock_unsettled(
    connection: &mut PgConnection,
    patience: Duration,
    limit: i64,
) -> Result<Vec<Order>, sqlx::Error> {
    let rows = select_orders!(
        "WHERE state IN ('cancelling', 'returning') AND fulfilment <> 'returning'
           AND updated_at <= now() - make_interval(secs => $1)
           AND NOT EXISTS (SELECT FROM reminders WHERE order_id = orders.id
                           AND asked_at > now() - make_interval(secs => $1))
         ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        patience.as_secs_f64(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Order::try_from).collect()
}

/// Notes that the others are asked again; returns how often they were.
pub async fn remember(connection: &mut PgConnection, order: OrderId) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO reminders (order_id) VALUES ($1)
         ON CONFLICT (order_id) DO UPDATE SET asked_at = now(), times = reminders.times + 1
         RETURNING times",
        order.uuid(),
    )
    .fetch_one(connection)
    .await
}
