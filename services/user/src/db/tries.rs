//! How often a password was tried, in Postgres.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Result;

/// Tries since the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// This one included.
    pub tries: i32,
    /// The first of them.
    pub since: DateTime<Utc>,
}

/// Counts one more try; what is older than the window counts no more.
pub async fn count(tx: &mut PgConnection, subject: &[u8], window_seconds: f64) -> Result<Count> {
    sqlx::query_as!(
        Count,
        "INSERT INTO password_tries AS t (subject, tries, since) VALUES ($1, 1, now())
         ON CONFLICT (subject) DO UPDATE SET
             tries = CASE WHEN t.since > now() - make_interval(secs => $2) THEN t.tries + 1 ELSE 1 END,
             since = CASE WHEN t.since > now() - make_interval(secs => $2) THEN t.since ELSE now() END
         RETURNING tries, since",
        subject,
        window_seconds,
    )
    .fetch_one(tx)
    .await
}

/// Forgets all tries.
pub async fn forget(tx: &mut PgConnection, subject: &[u8]) -> Result<()> {
    sqlx::query!("DELETE FROM password_tries WHERE subject = $1", subject).execute(tx).await?;
    Ok(())
}

/// Takes one try back.
pub async fn take_back(tx: &mut PgConnection, subject: &[u8]) -> Result<()> {
    sqlx::query!(
        "UPDATE password_tries SET tries = greatest(tries - 1, 0) WHERE subject = $1",
        subject
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes what counts no more.
pub async fn purge(tx: &mut PgConnection, window_seconds: f64) -> Result<()> {
    sqlx::query!(
        "DELETE FROM password_tries WHERE since < now() - make_interval(secs => $1)",
        window_seconds,
    )
    .execute(tx)
    .await?;
    Ok(())
}
