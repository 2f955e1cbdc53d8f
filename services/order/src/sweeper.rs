//! Ends orders whose time is over, so that none holds stock for ever, asks again for what has to go back before an
//! order is over, so that none waits for ever either, and forgets where orders came from that are open no longer, and
//! which ones were left unpaid.

use std::time::{Duration, Instant};

use kit::purge;
use kit::telemetry::chain;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::event::{Cause, Event};
use crate::guards;
use crate::owed;
use crate::saga::{Saga, StepError};

/// How often to look for orders whose time is over. One look costs a short index scan.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often to look for what has not come back.
const REMIND: Duration = Duration::from_mins(1);
/// Orders ended in one transaction.
const BATCH: i64 = 100;

/// How long orders have.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// To be paid.
    pub expiry: Duration,
    /// From when the payment needs a second step, and no longer than others.
    pub second_step: Duration,
}

/// Sweeps until told to stop. Any number of replicas may do so at once: they skip each other's
/// orders.
pub async fn run(pool: PgPool, saga: Saga, times: Times, stop: CancellationToken) {
    let mut reminded: Option<Instant> = None;
    while !stop.is_cancelled() {
        match sweep(&pool, &saga, times).await {
            // There may be more.
            Ok(BATCH..) => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "orders are not swept"),
        }
        if reminded.is_none_or(|last| last.elapsed() >= REMIND) {
            reminded = Some(Instant::now());
            if let Err(error) = owed::reconcile(&pool, &saga, owed::FIRST).await {
                tracing::warn!(error = chain(&error), "what has to go back is not asked for again");
            }
            // What fails is logged there.
            let _ = forget(&pool).await;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Removes what is kept of orders for as long as they count.
async fn forget(pool: &PgPool) -> Result<(), sqlx::Error> {
    let after = guards::LEFT_UNPAID_COUNTS_FOR;
    purge::all([
        ("order_networks", db::forget_networks(pool).await),
        ("second_steps", db::forget_second_steps(pool, after).await),
    ])
}

/// Ends up to [`BATCH`] orders of each kind; returns how many.
async fn sweep(pool: &PgPool, saga: &Saga, times: Times) -> Result<i64, StepError> {
    let mut tx = pool.begin().await?;
    let mut orders = db::lock_overdue(&mut tx, BATCH).await?;
    orders.extend(db::lock_unconfirmed(&mut tx, times.second_step, BATCH).await?);
    orders.extend(db::lock_misdated(&mut tx, times.expiry, BATCH).await?);
    let mut ended = 0;
    for order in &orders {
        saga.advance(&mut tx, Some(order), &Event::Expired {}, Cause::SYSTEM).await?;
        ended += 1;
    }
    tx.commit().await?;
    for order in &orders {
        saga.committed(order.user_id);
    }
    Ok(ended)
}
