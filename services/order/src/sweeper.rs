//! Ends orders whose time is over, so that none holds stock for ever, and asks again for what has to go
//! back before an order is over, so that none waits for ever either.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use kit::metric;
use kit::telemetry::chain;
use prometheus::IntCounter;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::event::Event;
use crate::saga::{Saga, StepError};

/// How often to look for orders whose time is over. One look costs a short index scan.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often to look for what has not come back.
const REMIND: Duration = Duration::from_mins(1);
/// Orders ended in one transaction.
const BATCH: i64 = 100;

/// How long the others may take to give back money and goods before they are asked again: far longer
/// than either takes, and than a service takes to start anew.
const PATIENCE: Duration = Duration::from_mins(5);

static REMINDERS: LazyLock<IntCounter> = metric!(
    counter,
    "order_reminders_total",
    "How often an order's money or goods were asked for again because they had not come back."
);

/// Sweeps until told to stop. Any number of replicas may do so at once: they skip each other's
/// orders. An order whose payment needs a second step is held for `second_step` from then on, and no longer than
/// others.
pub async fn run(pool: PgPool, saga: Saga, second_step: Duration, stop: CancellationToken) {
    let mut reminded: Option<Instant> = None;
    while !stop.is_cancelled() {
        match sweep(&pool, &saga, second_step).await {
            // There may be more.
            Ok(BATCH..) => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "orders are not swept"),
        }
        if reminded.is_none_or(|last| last.elapsed() >= REMIND) {
            reminded = Some(Instant::now());
            if let Err(error) = remind(&pool, &saga, PATIENCE).await {
                tracing::warn!(error = chain(&error), "what has to go back is not asked for again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Ends up to [`BATCH`] orders of each kind; returns how many.
async fn sweep(pool: &PgPool, saga: &Saga, second_step: Duration) -> Result<i64, StepError> {
    let mut tx = pool.begin().await?;
    let mut orders = db::lock_overdue(&mut tx, BATCH).await?;
    orders.extend(db::lock_unconfirmed(&mut tx, second_step, BATCH).await?);
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

/// Asks again for what has to go back of orders that have waited for it so long.
pub async fn remind(pool: &PgPool, saga: &Saga, patience: Duration) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    for order in db::lock_unsettled(&mut tx, patience, BATCH).await? {
        let times = db::remember(&mut tx, order.id).await?;
        saga.ask_back(&mut tx, &order).await?;
        REMINDERS.inc();
        tracing::warn!(
            order_id = %order.id, state = order.state.word(), times,
            "money or goods have not come back; asked again"
        );
    }
    tx.commit().await
}
