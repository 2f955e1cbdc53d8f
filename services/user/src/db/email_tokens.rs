//! What letters bring along, in Postgres.

use chrono::{DateTime, Utc};
use contracts::UserId;
use sqlx::PgConnection;

use super::Result;
use crate::letters::Purpose;
use crate::token::OpaqueToken;

/// Stores a token of an account, which is locked. Those before it stay valid until they expire.
pub async fn issue(
    tx: &mut PgConnection,
    user: UserId,
    purpose: Purpose,
    token: &OpaqueToken,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "DELETE FROM earlier_email_tokens
         WHERE user_id = $1 AND purpose = $2 AND expires_at <= now()",
        user.uuid(),
        purpose.as_str(),
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO earlier_email_tokens (hash, user_id, purpose, expires_at)
         SELECT hash, user_id, purpose, expires_at FROM email_tokens
         WHERE user_id = $1 AND purpose = $2 AND expires_at > now()",
        user.uuid(),
        purpose.as_str(),
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO email_tokens (hash, user_id, purpose, expires_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT email_tokens_latest DO UPDATE
             SET hash = excluded.hash, created_at = now(), expires_at = excluded.expires_at",
        token.hash(),
        user.uuid(),
        purpose.as_str(),
        expires_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The account of a token, if it is valid.
pub async fn account_of(
    tx: &mut PgConnection,
    purpose: Purpose,
    token: &OpaqueToken,
) -> Result<Option<UserId>> {
    let user = sqlx::query_scalar!(
        r#"SELECT user_id AS "user_id!" FROM (
               SELECT hash, user_id, purpose, expires_at FROM email_tokens
               UNION ALL SELECT hash, user_id, purpose, expires_at FROM earlier_email_tokens) t
           WHERE hash = $1 AND purpose = $2 AND expires_at > now()"#,
        token.hash(),
        purpose.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(user.map(UserId::from))
}

/// Spends a token of an account, which is locked, as for every change of its credentials, and ends the others of its purpose.
/// False if the token is not valid.
pub async fn spend(
    tx: &mut PgConnection,
    user: UserId,
    purpose: Purpose,
    token: &OpaqueToken,
) -> Result<bool> {
    let spent = sqlx::query!(
        "DELETE FROM email_tokens latest
         WHERE user_id = $3 AND purpose = $2
           AND (hash = $1 AND expires_at > now() OR EXISTS (
               SELECT FROM earlier_email_tokens earlier
               WHERE earlier.hash = $1 AND earlier.expires_at > now()
                 AND (earlier.user_id, earlier.purpose) = (latest.user_id, latest.purpose)))",
        token.hash(),
        purpose.as_str(),
        user.uuid(),
    )
    .execute(tx)
    .await?;
    Ok(spent.rows_affected() > 0)
}

/// Ends all tokens of an account, and unanswered requests for one.
pub async fn end_all(tx: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("DELETE FROM email_tokens WHERE user_id = $1", user.uuid())
        .execute(&mut *tx)
        .await?;
    // A request that is being answered is left: its answer waits for the lock on the account.
    sqlx::query!(
        "DELETE FROM password_reset_requests WHERE email IN (
             SELECT r.email FROM password_reset_requests r JOIN accounts a USING (email)
             WHERE a.id = $1 FOR UPDATE OF r SKIP LOCKED)",
        user.uuid(),
    )
    .execute(tx)
    .await?;
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
