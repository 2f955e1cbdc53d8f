//! Sessions and their refresh tokens in Postgres.

use chrono::{DateTime, Utc};
use contracts::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;
use crate::account::role_of;
use crate::token::{OpaqueToken, SESSION_LIFETIME, Standing};

/// What came of a login whose password was right a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A session may be opened; what its tokens say of the account.
    Admitted(Standing),
    /// An administrator keeps the account out.
    Blocked,
    /// The account has another password by now, or is gone.
    Changed,
}

/// Whether an account still has the password hash that was verified. A hash has a salt of its own, so it is the version of the
/// password. The account stays locked until the transaction ends: a change of the password at the same time is seen
/// here, or ends the session that is opened too.
pub async fn admit(tx: &mut PgConnection, user: UserId, verified_hash: &str) -> Result<Admission> {
    let account = sqlx::query!(
        r#"SELECT roles, email_verified_at IS NOT NULL AS "email_verified!",
                  blocked_at IS NOT NULL AS "blocked!" FROM accounts
           WHERE id = $1 AND password_hash = $2 FOR SHARE"#,
        user.uuid(),
        verified_hash,
    )
    .fetch_optional(tx)
    .await?;
    Ok(match account {
        None => Admission::Changed,
        Some(account) if account.blocked => Admission::Blocked,
        Some(account) => Admission::Admitted(standing(&account.roles, account.email_verified)),
    })
}

fn standing(roles: &[String], email_verified: bool) -> Standing {
    let roles = roles.iter().filter_map(|role| role_of(role)).collect();
    Standing { roles, email_verified }
}

/// Opens a session of an account that was admitted, with its first refresh token. Its id.
pub async fn open(
    tx: &mut PgConnection,
    user: UserId,
    device: &OpaqueToken,
    token: &OpaqueToken,
    expires_at: DateTime<Utc>,
) -> Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "WITH session AS (
             INSERT INTO sessions (id, user_id, device) VALUES ($1, $2, $3) RETURNING id
         )
         INSERT INTO refresh_tokens (hash, session_id, expires_at) SELECT $4, id, $5 FROM session",
        id,
        user.uuid(),
        device.hash(),
        token.hash(),
        expires_at,
    )
    .execute(tx)
    .await?;
    Ok(id)
}

/// Whether a session lives. Apart from the lock on its account, after which its statement sees what ended while it waited.
pub async fn lives(tx: &mut PgConnection, session: Uuid) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM sessions WHERE id = $1 AND revoked_at IS NULL) AS "lives!""#,
        session,
    )
    .fetch_one(tx)
    .await
}

/// Spends a refresh token and stores the next, in one statement: of two requests with one token, one
/// finds it spent. None unless the token is fresh and its session lives. No token outlives its session. Account and session, and what
/// tokens say of the account.
pub async fn rotate(
    tx: &mut PgConnection,
    old: &OpaqueToken,
    new: &OpaqueToken,
    expires_at: DateTime<Utc>,
) -> Result<Option<((UserId, Uuid), Standing)>> {
    let row = sqlx::query!(
        r#"WITH spent AS (
             UPDATE refresh_tokens t SET spent_at = now() FROM sessions s
             WHERE t.hash = $1 AND t.spent_at IS NULL AND t.expires_at > now()
               AND s.id = t.session_id AND s.revoked_at IS NULL
               AND s.created_at > now() - make_interval(secs => $4)
             RETURNING t.session_id, s.user_id, s.created_at
         ), issued AS (
             INSERT INTO refresh_tokens (hash, session_id, expires_at)
             SELECT $2, session_id, least($3, created_at + make_interval(secs => $4)) FROM spent
         )
         SELECT a.id, spent.session_id, a.roles, a.email_verified_at IS NOT NULL AS "email_verified!"
         FROM spent JOIN accounts a ON a.id = spent.user_id"#,
        old.hash(),
        new.hash(),
        expires_at,
        SESSION_LIFETIME.as_seconds_f64(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| ((row.id.into(), row.session_id), standing(&row.roles, row.email_verified))))
}

/// Revokes the session of a refresh token that was spent before: two hold it, and one of them has
/// stolen it. Tells whose session that was.
pub async fn revoke_reused(tx: &mut PgConnection, token: &OpaqueToken) -> Result<Option<UserId>> {
    let user = sqlx::query_scalar!(
        "UPDATE sessions s SET revoked_at = now() FROM refresh_tokens t
         WHERE t.hash = $1 AND t.spent_at IS NOT NULL
           AND s.id = t.session_id AND s.revoked_at IS NULL
         RETURNING s.user_id",
        token.hash(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(user.map(UserId::from))
}

/// Revokes the session of a refresh token.
pub async fn end(tx: &mut PgConnection, token: &OpaqueToken) -> Result<()> {
    sqlx::query!(
        "UPDATE sessions s SET revoked_at = now() FROM refresh_tokens t
         WHERE t.hash = $1 AND s.id = t.session_id AND s.revoked_at IS NULL",
        token.hash(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Revokes all sessions of an account but those that were opened on a device.
pub async fn end_all_but(
    tx: &mut PgConnection,
    user: UserId,
    device: Option<&OpaqueToken>,
) -> Result<()> {
    sqlx::query!(
        "UPDATE sessions SET revoked_at = now()
         WHERE user_id = $1 AND revoked_at IS NULL
           AND ($2::bytea IS NULL OR device IS DISTINCT FROM $2)",
        user.uuid(),
        device.map(OpaqueToken::hash),
    )
    .execute(tx)
    .await?;
    Ok(())
}
