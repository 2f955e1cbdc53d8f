//! What letters bring along, in Postgres.

use chrono::{DateTime, Utc};
use contracts::UserId;
use sqlx::PgConnection;

use super::Result;
use crate::letters::Purpose;
use crate::token::OpaqueToken;

/// Stores a token in place of the one before; false if that is younger than `pause_seconds`.
pub async fn issue(
    tx: &mut PgConnection,
    user: UserId,
    purpose: Purpose,
    token: &OpaqueToken,
    expires_at: DateTime<Utc>,
    pause_seconds: f64,
) -> Result<bool> {
    let issued = sqlx::query!(
        "INSERT INTO email_tokens AS t (hash, user_id, purpose, expires_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT email_tokens_latest DO UPDATE
             SET hash = excluded.hash, created_at = now(), expires_at = excluded.expires_at
             WHERE t.created_at <= now() - make_interval(secs => $5)",
        token.hash(),
        user.uuid(),
        purpose.as_str(),
        expires_at,
        pause_seconds,
    )
    .execute(tx)
    .await?;
    Ok(issued.rows_affected() > 0)
}

/// Whether a token is good.
pub async fn is_good(tx: &mut PgConnection, purpose: Purpose, token: &OpaqueToken) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM email_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > now()
         ) AS "good!""#,
        token.hash(),
        purpose.as_str(),
    )
    .fetch_one(tx)
    .await
}

/// Spends a token; tells whose it was, if it was good.
pub async fn spend(
    tx: &mut PgConnection,
    purpose: Purpose,
    token: &OpaqueToken,
) -> Result<Option<UserId>> {
    let user = sqlx::query_scalar!(
        "DELETE FROM email_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > now()
         RETURNING user_id",
        token.hash(),
        purpose.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(user.map(UserId::from))
}

/// Removes tokens that have expired.
pub async fn purge(tx: &mut PgConnection) -> Result<()> {
    sqlx::query!("DELETE FROM email_tokens WHERE expires_at <= now()").execute(tx).await?;
    Ok(())
}

/// Notes that somebody has forgotten the password of this address, which may have no account.
pub async fn request_reset(tx: &mut PgConnection, email: &str) -> Result<()> {
    sqlx::query!(
        "INSERT INTO password_reset_requests (email) VALUES ($1) ON CONFLICT DO NOTHING",
        email,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes the oldest request that nobody else is at: the address, and whose it is if anybody's who may log in.
pub async fn take_reset_request(tx: &mut PgConnection) -> Result<Option<Option<UserId>>> {
    let taken = sqlx::query!(
        r#"WITH taken AS (
             DELETE FROM password_reset_requests WHERE email = (
                 SELECT email FROM password_reset_requests
                 ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING email
         )
         SELECT a.id AS "id?" FROM taken
         LEFT JOIN accounts a ON a.email = taken.email AND a.blocked_at IS NULL"#,
    )
    .fetch_optional(tx)
    .await?;
    Ok(taken.map(|row| row.id.map(UserId::from)))
}
