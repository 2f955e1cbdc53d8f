//! Ends deletions that inventory has said nothing about, so that no product is kept from sale for ever.

use std::time::Duration;

use kit::telemetry::chain;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::deleting::Deleting;

/// How often to look. One look costs a short index scan.
const INTERVAL: Duration = Duration::from_secs(1);
/// Deletions given up in one transaction.
const BATCH: i64 = 100;

/// Sweeps until told to stop. Any number of replicas may do so at once: they skip each other's products.
pub(crate) async fn run(pool: PgPool, deleting: Deleting, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        if let Err(error) = sweep(&pool, &deleting).await {
            tracing::warn!(error = chain(&error), "deletions are not swept");
        }
    }
}

async fn sweep(pool: &PgPool, deleting: &Deleting) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    for id in db::lock_overdue(&mut tx, BATCH).await? {
        deleting.give_up(&mut tx, id).await?;
    }
    tx.commit().await
}
