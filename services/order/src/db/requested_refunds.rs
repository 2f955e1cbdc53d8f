//! Refunds that staff has requested of orders that can still be shipped, and that may not be done yet.

use contracts::{Money, OrderId};
use sqlx::PgConnection;

use crate::order::Order;

/// So much of a paid order has gone back or is to.
pub async fn record_requested_refund(
    connection: &mut PgConnection,
    order: OrderId,
    total: Money,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO requested_refunds (order_id, total) VALUES ($1, $2)
         ON CONFLICT (order_id) DO UPDATE
         SET total = greatest(requested_refunds.total, excluded.total)",
        order.uuid(),
        total.amount,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What of a locked order has gone back or is to, as far as staff has requested it.
pub async fn requested_refund(
    connection: &mut PgConnection,
    order: &Order,
) -> Result<Money, sqlx::Error> {
    let total = sqlx::query_scalar!(
        "SELECT total FROM requested_refunds WHERE order_id = $1",
        order.id.uuid(),
    );
    let total = total.fetch_optional(connection).await?;
    Ok(Money::new(total.unwrap_or(0), order.total.currency))
}

/// The order is paid no more: it was shipped, or is being cancelled.
pub async fn forget_requested_refund(
    connection: &mut PgConnection,
    order: OrderId,
) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM requested_refunds WHERE order_id = $1", order.uuid())
        .execute(connection)
        .await?;
    Ok(())
}
