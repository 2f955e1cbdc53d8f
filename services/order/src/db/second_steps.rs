//! Orders that wait for their shopper to confirm the payment, and those that their shopper has let end unpaid.

use std::time::Duration;

use contracts::events::{OrderLine, OrderSource};
use contracts::{OrderId, UserId};
use kit::purge_table;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

use super::Row;
use crate::event::{Fulfilment, Payment, Reason, State};
use crate::guards::LeftUnpaid;
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

/// The order waits neither for its goods nor for its payment any more. If its shopper has let it end unpaid, that is
/// remembered, whether it waited for a second step or not: its units were held for nothing.
pub async fn end_waiting(connection: &mut PgConnection, order: &Order) -> Result<(), sqlx::Error> {
    if order.was_left_unpaid() {
        sqlx::query!(
            "INSERT INTO second_steps (order_id, ended_at, waited) VALUES ($1, now(), false)
             ON CONFLICT (order_id) DO UPDATE SET ended_at = now()",
            order.id.uuid()
        )
        .execute(connection)
        .await?;
    } else {
        sqlx::query!("DELETE FROM second_steps WHERE order_id = $1", order.id.uuid())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The orders of this account that its shopper has let end unpaid within this time. What ended later than now did so
/// before the clock was set back.
pub async fn left_unpaid_by(
    connection: &mut PgConnection,
    user: UserId,
    within: Duration,
) -> Result<LeftUnpaid, sqlx::Error> {
    let (user, within) = (user.uuid(), within.as_secs_f64());
    let orders = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM orders o JOIN second_steps s ON s.order_id = o.id
           WHERE o.user_id = $1 AND s.ended_at > now() - make_interval(secs => $2)
             AND s.ended_at < now() + make_interval(secs => $2)"#,
        user,
        within,
    )
    .fetch_one(&mut *connection)
    .await?;
    let unconfirmed = select_units!(
        "JOIN second_steps s ON s.order_id = o.id
         WHERE o.user_id = $1 AND s.ended_at > now() - make_interval(secs => $2)
           AND s.ended_at < now() + make_interval(secs => $2) AND s.waited",
        user,
        within,
    )
    .fetch_all(connection)
    .await?;
    let unconfirmed = unconfirmed.into_iter().map(|row| row.units).collect();
    Ok(LeftUnpaid { unconfirmed, orders: usize::try_from(orders).unwrap_or(usize::MAX) })
}

/// Forgets orders that ended before this time, or in the future: the clock was set back. Returns how many.
pub async fn forget_second_steps(pool: &PgPool, after: Duration) -> Result<i64, sqlx::Error> {
    purge_table!(
        pool,
        "second_steps",
        "ended_at",
        "(ended_at < now() - make_interval(secs => $3) OR ended_at > now() + make_interval(secs => $3))",
        after.as_secs_f64(),
    )
    .1
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
             WHERE order_id = orders.id AND ended_at IS NULL AND since <= now() - make_interval(secs => $1))
         LIMIT $2 FOR UPDATE SKIP LOCKED",
        hold.as_secs_f64(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Order::try_from).collect()
}
