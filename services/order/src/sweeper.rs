//! Ends orders whose time is over, so that none holds stock for ever.

use std::time::Duration;

use kit::telemetry::chain;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::event::Event;
use crate::saga::{Saga, StepError};

/// How often to look. One look costs a short index scan.
const INTERVAL: Duration = Duration::from_secs(1);
/// Orders ended in one transaction.
const BATCH: i64 = 100;

/// Sweeps until told to stop. Any number of replicas may do so at once: they skip each other's
/// orders.
pub async fn run(pool: PgPool, saga: Saga, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match sweep(&pool, &saga).await {
            // There may be more.
            Ok(BATCH) => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "orders are not swept"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Ends up to [`BATCH`] orders; returns how many.
async fn sweep(pool: &PgPool, saga: &Saga) -> Result<i64, StepError> {
    let mut tx = pool.begin().await?;
    let orders = db::lock_overdue(&mut tx, BATCH).await?;
    let mut ended = 0;
    for order in &orders {
        saga.advance(&mut tx, Some(order), &Event::Expired {}, None).await?;
        ended += 1;
    }
    tx.commit().await?;
    for order in &orders {
        saga.committed(order.user_id);
    }
    Ok(ended)
}
