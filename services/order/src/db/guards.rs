//! What is asked of the database before an order is placed.

use chrono::{DateTime, Utc};
use contracts::{OrderId, UserId};
use sqlx::PgConnection;

use crate::event::State;
use crate::guards::{Held, PAID_HOLDS_FOR};

/// Orders of one account are placed one after the other from here to the end of the transaction: each sees those
/// before it. Returns the time of the database, whose clock also ends orders.
pub async fn lock_account(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<DateTime<Utc>, sqlx::Error> {
    // A statement of its own: what the next ones see begins after the lock is taken. The time is that moment's too.
    sqlx::query!("SELECT FROM pg_advisory_xact_lock(hashtextextended($1, 0))", lock_name(user))
        .execute(&mut *connection)
        .await?;
    sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(connection).await
}

/// Apart from those of idempotency keys, which are hashes too.
fn lock_name(user: UserId) -> String {
    format!("orders of {user}")
}

/// The last order of this cart, if there is one.
pub async fn holder_of_cart(
    connection: &mut PgConnection,
    cart: &str,
) -> Result<Option<Held>, sqlx::Error> {
    let held = sqlx::query!(
        r#"SELECT order_id, state AS "state: State", cart_version,
               (updated_at > now() - make_interval(secs => $2)
                AND updated_at < now() + make_interval(secs => $2)) AS "is_recent!"
           FROM open_carts JOIN orders ON id = order_id WHERE cart_id = $1"#,
        cart,
        PAID_HOLDS_FOR.as_secs_f64(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(held.map(|held| Held {
        order: held.order_id.into(),
        state: held.state,
        version: held.cart_version,
        is_recent: held.is_recent,
    }))
}

/// This order is the last one of its cart now.
pub async fn hold_cart(
    connection: &mut PgConnection,
    cart: &str,
    version: i64,
    order: OrderId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO open_carts (cart_id, order_id, cart_version) VALUES ($1, $2, $3)
         ON CONFLICT (cart_id) DO UPDATE
         SET order_id = excluded.order_id, cart_version = excluded.cart_version",
        cart,
        order.uuid(),
        version,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The order has ended: its cart may be ordered as it is.
pub async fn leave_cart(connection: &mut PgConnection, order: OrderId) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM open_carts WHERE order_id = $1", order.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// Orders of an account that are neither paid nor ended, oldest first, each with how many units it wants.
pub async fn open_orders(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Vec<(OrderId, i64)>, sqlx::Error> {
    let rows = select_units!(
        "WHERE o.user_id = $1 AND o.state IN ('pending', 'reserved') ORDER BY o.id",
        user.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id.into(), row.units)).collect())
}
