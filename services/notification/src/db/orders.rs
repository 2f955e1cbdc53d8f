//! What is known of orders, in Postgres.

use contracts::{Money, OrderId, UserId};
use sqlx::PgConnection;

use super::Result;

/// An order, as far as it was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who ordered.
    pub user: UserId,
    /// The state that it is in, as the order service names it.
    pub status: String,
    /// What was paid for it.
    pub paid: Option<Money>,
}

/// Notes where the order has got to. Letters that were waiting for its owner are theirs from now on.
pub async fn note(
    tx: &mut PgConnection,
    order: OrderId,
    user: UserId,
    status: &str,
    paid: Option<Money>,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO orders (order_id, user_id, status, paid, currency) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (order_id) DO UPDATE SET status = $3, updated_at = now(),
             paid = coalesce($4, orders.paid), currency = coalesce($5, orders.currency)",
        order.uuid(),
        user.uuid(),
        status,
        paid.map(|paid| paid.amount),
        paid.map(|paid| paid.currency.to_string()),
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE messages SET recipient = $2 WHERE recipient = $1 AND state = 'queued'",
        order.uuid(),
        user.uuid(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The order, if it was told of.
pub async fn find(tx: &mut PgConnection, order: OrderId) -> Result<Option<Known>> {
    let row = sqlx::query!(
        "SELECT user_id, status, paid, currency FROM orders WHERE order_id = $1",
        order.uuid(),
    )
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let paid = match (row.paid, row.currency) {
        (Some(amount), Some(currency)) => {
            let currency =
                currency.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Some(Money::new(amount, currency))
        }
        _ => None,
    };
    Ok(Some(Known { user: row.user_id.into(), status: row.status, paid }))
}
