//! How often something was attempted, in Postgres. Times are those of the statement, not of its transaction: a count that was
//! waited for must not look as if it came from the future. What is more than a minute ahead does: the clock was put
//! back, and delays must not last until it gets there again.

use chrono::{DateTime, Utc};
use kit::purge::{BATCH, until_none};
use sqlx::PgConnection;

use super::Result;

/// Attempts that come one after another, the later ones with growing delays.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Attempts without a delay.
    pub free: i32,
    /// Seconds before the first that is not free; doubles with each.
    pub delay_seconds: f64,
    /// Longest delay, in seconds.
    pub max_delay_seconds: f64,
    /// Seconds after the last attempt when all is forgotten.
    pub memory_seconds: f64,
}

/// Counts an attempt, perhaps for an account, unless it comes too early: then the seconds until the next may.
pub async fn pace(
    tx: &mut PgConnection,
    (subject, account): (&[u8], Option<&[u8]>),
    pace: &Pace,
) -> Result<Option<f64>> {
    let counted = sqlx::query!(
        "INSERT INTO attempts AS a (subject, count, first_at, last_at, account)
         VALUES ($1, 1, clock_timestamp(), clock_timestamp(), $6)
         ON CONFLICT (subject) DO UPDATE SET
             count = CASE WHEN a.last_at BETWEEN clock_timestamp() - make_interval(secs => $5)
                                             AND clock_timestamp() + interval '1 min'
                          THEN a.count + 1 ELSE 1 END,
             last_at = clock_timestamp(),
             account = excluded.account
         WHERE a.last_at NOT BETWEEN clock_timestamp() - make_interval(secs => $5)
                                 AND clock_timestamp() + interval '1 min'
            OR a.count < $2
            OR a.last_at + make_interval(
                   secs => least($3 * power(2, least(a.count - $2, 30)), $4)) <= clock_timestamp()",
        subject,
        pace.free,
        pace.delay_seconds,
        pace.max_delay_seconds,
        pace.memory_seconds,
        account,
    )
    .execute(&mut *tx)
    .await?;
    if counted.rows_affected() > 0 {
        return Ok(None);
    }
    // Zero: it may come by now.
    Ok(Some(wait(tx, subject, pace).await?.unwrap_or_default()))
}

/// The seconds until the next attempt may come, if it would come too early now. Counts nothing.
pub async fn wait(tx: &mut PgConnection, subject: &[u8], pace: &Pace) -> Result<Option<f64>> {
    let seconds = sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM last_at - clock_timestamp())::float8
                  + least($3 * power(2, least(count - $2, 30)), $4) AS "seconds!"
           FROM attempts
           WHERE subject = $1 AND count >= $2
             AND last_at BETWEEN clock_timestamp() - make_interval(secs => $5)
                             AND clock_timestamp() + interval '1 min'"#,
        subject,
        pace.free,
        pace.delay_seconds,
        pace.max_delay_seconds,
        pace.memory_seconds,
    )
    .fetch_optional(tx)
    .await?;
    Ok(seconds.filter(|seconds| *seconds > 0.0))
}

/// Attempts in a window, which begins with the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// This one included.
    pub count: i32,
    /// The first of them.
    pub since: DateTime<Utc>,
}

/// Counts one more attempt in a window.
pub async fn count(tx: &mut PgConnection, subject: &[u8], window_seconds: f64) -> Result<Count> {
    sqlx::query_as!(
        Count,
        r#"INSERT INTO attempts AS a (subject, count, first_at, last_at)
           VALUES ($1, 1, clock_timestamp(), clock_timestamp())
           ON CONFLICT (subject) DO UPDATE SET
               count = CASE WHEN a.first_at BETWEEN clock_timestamp() - make_interval(secs => $2)
                                                AND clock_timestamp() + interval '1 min'
                            THEN a.count + 1 ELSE 1 END,
               first_at = CASE WHEN a.first_at BETWEEN clock_timestamp() - make_interval(secs => $2)
                                                   AND clock_timestamp() + interval '1 min'
                               THEN a.first_at ELSE clock_timestamp() END,
               last_at = clock_timestamp()
           RETURNING count, first_at AS "since""#,
        subject,
        window_seconds,
    )
    .fetch_one(tx)
    .await
}

/// How many attempts were counted in the current window.
pub async fn counted(tx: &mut PgConnection, subject: &[u8], window_seconds: f64) -> Result<i32> {
    let count = sqlx::query_scalar!(
        "SELECT count FROM attempts
         WHERE subject = $1 AND first_at BETWEEN clock_timestamp() - make_interval(secs => $2)
                                             AND clock_timestamp() + interval '1 min'",
        subject,
        window_seconds,
    )
    .fetch_optional(tx)
    .await?;
    Ok(count.unwrap_or_default())
}

/// Forgets all attempts.
pub async fn forget(tx: &mut PgConnection, subject: &[u8]) -> Result<()> {
    sqlx::query!("DELETE FROM attempts WHERE subject = $1", subject).execute(tx).await?;
    Ok(())
}

/// Forgets attempts for an account, in batches.
pub async fn forget_of_account(connection: &mut PgConnection, account: &[u8]) -> Result<()> {
    let attempts = || {
        sqlx::query!(
            "DELETE FROM attempts WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM attempts WHERE account = $1 LIMIT $2))",
            account,
            BATCH,
        )
    };
    until_none(connection, attempts).await?;
    Ok(())
}

/// Takes one attempt back.
pub async fn take_back(tx: &mut PgConnection, subject: &[u8]) -> Result<()> {
    sqlx::query!("UPDATE attempts SET count = greatest(count - 1, 0) WHERE subject = $1", subject)
        .execute(tx)
        .await?;
    Ok(())
}
