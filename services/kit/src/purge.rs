//! Removing old rows, however many there are.
//!
//! One statement for all of them runs into the statement timeout as soon as a service has stood still for long enough,
//! and then every time. So rows are removed in batches, each in a transaction of its own, oldest first.

use std::future::Future;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::telemetry::chain;

/// Rows that one statement removes: a fraction of a second's work.
pub const BATCH: i64 = 5_000;

/// What one statement has removed.
#[derive(Debug)]
pub struct Batch {
    /// Rows.
    pub removed: i64,
    /// Time of the newest of them.
    pub newest: Option<DateTime<Utc>>,
}

/// Removes all that is old. `batch` removes at most [`BATCH`] rows, the oldest ones whose time is not before the one
/// that it is given: an index need not be searched again through what was removed before. Rows that another replica
/// removes are to be skipped (`SKIP LOCKED`). Returns how many were removed.
pub async fn in_batches<F, E>(mut batch: impl FnMut(DateTime<Utc>) -> F) -> Result<i64, E>
where
    F: Future<Output = Result<Batch, E>>,
{
    let (mut from, mut all) = (DateTime::UNIX_EPOCH, 0);
    loop {
        let Batch { removed, newest } = batch(from).await?;
        all += removed;
        from = newest.unwrap_or(from);
        if removed < BATCH {
            return Ok(all);
        }
    }
}

/// Removes what has served its time from the tables that every service has.
pub async fn run(pool: &PgPool) -> Result<(), sqlx::Error> {
    all([
        ("outbox", outbox(pool).await),
        ("inbox", inbox(pool).await),
        ("idempotency_keys", idempotency_keys(pool).await),
    ])
}

/// One outcome of all tables: one that cannot be purged does not keep the others.
pub fn all<const N: usize>(
    tables: [(&'static str, Result<i64, sqlx::Error>); N],
) -> Result<(), sqlx::Error> {
    let mut outcome = Ok(());
    for (table, removed) in tables {
        match removed {
            Ok(rows) => tracing::debug!(table, rows, "old rows were removed"),
            Err(error) => {
                tracing::warn!(table, error = chain(&error), "old rows cannot be removed");
                outcome = Err(error);
            }
        }
    }
    outcome
}

async fn outbox(pool: &PgPool) -> Result<i64, sqlx::Error> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM outbox WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM outbox
                     WHERE published_at >= $1 AND published_at < now() - interval '7 days'
                     ORDER BY published_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING published_at)
             SELECT count(*) AS "removed!", max(published_at) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}

/// The inbox remembers longer than Kafka keeps records (7 days).
async fn inbox(pool: &PgPool) -> Result<i64, sqlx::Error> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM inbox WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM inbox
                     WHERE received_at >= $1 AND received_at < now() - interval '14 days'
                     ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING received_at)
             SELECT count(*) AS "removed!", max(received_at) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}

async fn idempotency_keys(pool: &PgPool) -> Result<i64, sqlx::Error> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM idempotency_keys
                     WHERE created_at >= $1 AND created_at < now() - interval '24 hours'
                     ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING created_at)
             SELECT count(*) AS "removed!", max(created_at) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}
