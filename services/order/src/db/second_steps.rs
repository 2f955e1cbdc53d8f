//! Orders that wait for their shopper to confirm the payment.

use std::time::Duration;

use contracts::OrderId;
use contracts::events::{OrderLine, OrderSource};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Row;
use crate::event::{Fulfilment, Payment, Reason, State};
use crate::order::Order;

/// The order waits from now on, unless it has before.
pub async fn begin_second_step(
    connection: &mut PgConnection,
    order: OrderId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO second_steps (order_id) VALUES ($1) ON CONFLICT DO NOTHING",
        order.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The order waits no longer.
pub async fn end_second_step(
    connection: &mut PgConnection,
    order: OrderId,
) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM second_steps WHERE order_id = $1", order.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// Locks orders that have waited for so long, though their time is not over; skips those that another transaction has
/// locked.
pub async fn lock_unconfirmed(
    connection: &mut PgConnection,
    hold: Duration,
    limit: i64,
) -> Result<Vec<Order>, sqlx::Error> {
    let rows = select_orders!(
        "WHERE state = 'reserved' AND expires_at > now() AND EXISTS (
             SELECT FROM second_steps
             WHERE order_id = orders.id AND since <= now() - make_interval(secs => $1))
         LIMIT $2 FOR UPDATE SKIP LOCKED",
        hold.as_secs_f64(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Order::try_from).collect()
}
