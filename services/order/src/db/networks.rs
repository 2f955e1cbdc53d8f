//! The client networks that orders of unverified accounts come from. An address is a person's: it is kept apart from
//! events and read model, and no longer than the order is open.

use std::net::IpAddr;
use std::time::Duration;

use contracts::OrderId;
use kit::purge::{BATCH, until_none};
use sqlx::{PgConnection, PgPool};

/// An order of an unverified account comes from this network.
pub async fn record_network(
    connection: &mut PgConnection,
    order: OrderId,
    network: IpAddr,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO order_networks (order_id, network) VALUES ($1, $2)",
        order.uuid(),
        network.to_string(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Units of each order of an unverified account from this network that has waited so long for a second step.
pub async fn unconfirmed_of(
    connection: &mut PgConnection,
    network: IpAddr,
    waited: Duration,
) -> Result<Vec<i64>, sqlx::Error> {
    let rows = select_units!(
        "JOIN order_networks n ON n.order_id = o.id JOIN second_steps s ON s.order_id = o.id
         WHERE n.network = $1 AND o.state = 'reserved' AND s.since <= now() - make_interval(secs => $2)",
        network.to_string(),
        waited.as_secs_f64(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.units).collect())
}

/// Forgets the networks of orders that are paid or have ended, in batches. Returns how many.
pub async fn forget_networks(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let networks = || {
        sqlx::query!(
            "DELETE FROM order_networks WHERE order_id = ANY(ARRAY(
                 SELECT order_id FROM order_networks n WHERE NOT EXISTS (
                     SELECT FROM orders WHERE id = n.order_id AND state IN ('pending', 'reserved'))
                 LIMIT $1 FOR UPDATE OF n SKIP LOCKED))",
            BATCH,
        )
    };
    until_none(&mut *pool.acquire().await?, networks).await
}
