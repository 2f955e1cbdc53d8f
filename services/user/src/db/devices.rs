//! Known devices in Postgres.

use chrono::{DateTime, Utc};
use contracts::UserId;
use sqlx::PgConnection;

use super::Result;
use crate::account::Email;
use crate::token::OpaqueToken;

/// Most devices of one account; those that were not used for longest are forgotten.
const MAX_DEVICES: i64 = 20;

/// Whether this is a device of the account with this address.
pub async fn is_known(tx: &mut PgConnection, token: &OpaqueToken, email: &Email) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM known_devices d JOIN accounts a ON a.id = d.user_id
             WHERE d.hash = $1 AND d.expires_at > now() AND a.email = $2
         ) AS "known!""#,
        token.hash(),
        email.as_str(),
    )
    .fetch_one(tx)
    .await
}

/// Whether this is a device of this account, which is known for longer then.
pub async fn extend(
    tx: &mut PgConnection,
    user: UserId,
    token: &OpaqueToken,
    expires_at: DateTime<Utc>,
) -> Result<bool> {
    let extended = sqlx::query!(
        "UPDATE known_devices SET expires_at = $3
         WHERE hash = $1 AND user_id = $2 AND expires_at > now()",
        token.hash(),
        user.uuid(),
        expires_at,
    )
    .execute(tx)
    .await?;
    Ok(extended.rows_affected() > 0)
}

/// Adds a device.
pub async fn insert(
    tx: &mut PgConnection,
    user: UserId,
    token: &OpaqueToken,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "DELETE FROM known_devices WHERE hash IN (
             SELECT hash FROM known_devices WHERE user_id = $1 ORDER BY expires_at DESC OFFSET $2)",
        user.uuid(),
        MAX_DEVICES - 1,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO known_devices (hash, user_id, expires_at) VALUES ($1, $2, $3)",
        token.hash(),
        user.uuid(),
        expires_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets all devices of an account but one.
pub async fn end_all_but(
    tx: &mut PgConnection,
    user: UserId,
    device: Option<&OpaqueToken>,
) -> Result<()> {
    sqlx::query!(
        "DELETE FROM known_devices WHERE user_id = $1 AND ($2::bytea IS NULL OR hash <> $2)",
        user.uuid(),
        device.map(OpaqueToken::hash),
    )
    .execute(tx)
    .await?;
    Ok(())
}
