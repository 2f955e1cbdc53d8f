//! Removing old rows, however many there are.
//!
//! One statement for all of them runs into the statement timeout as soon as a service has stood still for long enough,
//! and then every time. So rows are removed in batches, each in a transaction of its own, oldest first.

use std::future::Future;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, PgPool, Postgres};

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

/// Same of rows without a time to go by. `batch` is a statement that removes at most [`BATCH`] of them. One that removes
/// fewer may have waited for another transaction that removed the rest of its rows: the last one removes none.
pub async fn until_none<'q>(
    connection: &mut PgConnection,
    mut batch: impl FnMut() -> Query<'q, Postgres, PgArguments>,
) -> Result<i64, sqlx::Error> {
    let mut all = 0;
    loop {
        let removed = batch().execute(&mut *connection).await?.rows_affected();
        if removed == 0 {
            return Ok(all);
        }
        all += removed.cast_signed();
    }
}

/// Removes the rows of a table that have ended: `purge_table!(pool, "notices", "sent_at", "sent_at < now() - interval '1 day'")`.
/// The third is the column by which the oldest are found, for which there is an index; the fourth says which rows have ended,
/// with values that follow it as `$3` and on. Gives what [`all`] takes.
#[macro_export]
macro_rules! purge_table {
    ($pool:expr, $table:literal, $time:literal, $ended:literal $(, $value:expr)* $(,)?) => {
        (
            $table,
            $crate::purge::in_batches(|from| {
                ::sqlx::query_as!(
                    $crate::purge::Batch,
                    "WITH gone AS (DELETE FROM "
                        + $table
                        + " WHERE ctid = ANY(ARRAY(SELECT ctid FROM "
                        + $table
                        + " WHERE "
                        + $time
                        + " >= $1 AND "
                        + $ended
                        + " ORDER BY "
                        + $time
                        + " LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING "
                        + $time
                        + r#") SELECT count(*) AS "removed!", max("#
                        + $time
                        + ") AS newest FROM gone",
                    from,
                    $crate::purge::BATCH,
                    $($value),*
                )
                .fetch_one($pool)
            })
            .await,
        )
    };
}

/// Removes what has served its time from the tables that every service has.
pub async fn run(pool: &PgPool) -> Result<(), sqlx::Error> {
    all([
        purge_table!(pool, "outbox", "published_at", "published_at < now() - interval '7 days'"),
        // Longer than Kafka keeps records (7 days).
        purge_table!(pool, "inbox", "received_at", "received_at < now() - interval '14 days'"),
        purge_table!(
            pool,
            "idempotency_keys",
            "created_at",
            "created_at < now() - interval '24 hours'"
        ),
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
