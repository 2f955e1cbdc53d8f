//! Accounts and sessions in Postgres.

use chrono::{DateTime, Utc};
use contracts::UserId;
use kit::auth::Role;
use kit::page::Window;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::account::{Account, Email, Name, role_name, role_of};
use crate::token::RefreshToken;

/// Violated when an address has an account already.
pub const EMAIL_UNIQUE: &str = "accounts_email_key";

type Result<T> = std::result::Result<T, sqlx::Error>;

struct Row {
    id: Uuid,
    email: String,
    name: String,
    roles: Vec<String>,
    version: i64,
    created_at: DateTime<Utc>,
}

impl From<Row> for Account {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            email: row.email,
            name: row.name,
            // A CHECK keeps others out.
            roles: row.roles.iter().filter_map(|role| role_of(role)).collect(),
            version: row.version,
            created_at: row.created_at,
        }
    }
}

fn names(roles: &[Role]) -> Vec<String> {
    roles.iter().map(|role| role_name(*role).to_owned()).collect()
}

/// An account to be opened.
#[derive(Debug)]
pub struct NewAccount<'a> {
    /// Its id.
    pub id: UserId,
    /// Its address.
    pub email: &'a Email,
    /// What the person wants to be called.
    pub name: &'a Name,
    /// PHC string; none: nobody can log in.
    pub password_hash: Option<&'a str>,
    /// What it may do.
    pub roles: &'a [Role],
}

/// Opens an account; violates [`EMAIL_UNIQUE`] when the address has one.
pub async fn insert(tx: &mut PgConnection, new: &NewAccount<'_>) -> Result<Account> {
    sqlx::query_as!(
        Row,
        "INSERT INTO accounts (id, email, name, password_hash, roles) VALUES ($1, $2, $3, $4, $5)
         RETURNING id, email, name, roles, version, created_at",
        new.id.uuid(),
        new.email.as_str(),
        new.name.as_str(),
        new.password_hash,
        &names(new.roles),
    )
    .fetch_one(tx)
    .await
    .map(Account::from)
}

/// The account with this id.
pub async fn account(tx: &mut PgConnection, id: UserId) -> Result<Option<Account>> {
    sqlx::query_as!(
        Row,
        "SELECT id, email, name, roles, version, created_at FROM accounts WHERE id = $1",
        id.uuid(),
    )
    .fetch_optional(tx)
    .await
    .map(|row| row.map(Account::from))
}

/// Id, roles and password hash of the account with this address.
pub async fn by_email(
    tx: &mut PgConnection,
    email: &Email,
) -> Result<Option<(UserId, Vec<Role>, Option<String>)>> {
    let row = sqlx::query!(
        "SELECT id, roles, password_hash FROM accounts WHERE email = $1",
        email.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| {
        let roles = row.roles.iter().filter_map(|role| role_of(role)).collect();
        (row.id.into(), roles, row.password_hash)
    }))
}

/// Accounts, the newest first.
pub async fn list(tx: &mut PgConnection, window: &Window<UserId>) -> Result<Vec<Account>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, email, name, roles, version, created_at FROM accounts
         WHERE $1::uuid IS NULL OR id < $1
         ORDER BY id DESC OFFSET $2 LIMIT $3",
        window.after.map(UserId::uuid),
        window.offset,
        window.fetch(),
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Account::from).collect())
}

/// Changes the name, if the account still has this version.
pub async fn rename(
    tx: &mut PgConnection,
    id: UserId,
    version: i64,
    name: &Name,
) -> Result<Option<Account>> {
    sqlx::query_as!(
        Row,
        "UPDATE accounts SET name = $3, version = version + 1, updated_at = now()
         WHERE id = $1 AND version = $2
         RETURNING id, email, name, roles, version, created_at",
        id.uuid(),
        version,
        name.as_str(),
    )
    .fetch_optional(tx)
    .await
    .map(|row| row.map(Account::from))
}

/// Changes the roles, if the account still has this version.
pub async fn set_roles(
    tx: &mut PgConnection,
    id: UserId,
    version: i64,
    roles: &[Role],
) -> Result<Option<Account>> {
    sqlx::query_as!(
        Row,
        "UPDATE accounts SET roles = $3, version = version + 1, updated_at = now()
         WHERE id = $1 AND version = $2
         RETURNING id, email, name, roles, version, created_at",
        id.uuid(),
        version,
        &names(roles),
    )
    .fetch_optional(tx)
    .await
    .map(|row| row.map(Account::from))
}

/// Gives an account another password.
pub async fn set_password(tx: &mut PgConnection, id: UserId, hash: &str) -> Result<()> {
    sqlx::query!(
        "UPDATE accounts SET password_hash = $2, version = version + 1, updated_at = now()
         WHERE id = $1",
        id.uuid(),
        hash,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Hash of the password that the first administrator was given last.
pub async fn given(tx: &mut PgConnection, id: UserId) -> Result<Option<String>> {
    sqlx::query_scalar!(
        "SELECT password_hash FROM first_administrator WHERE user_id = $1",
        id.uuid(),
    )
    .fetch_optional(tx)
    .await
}

/// Keeps the hash of the password that the first administrator is given.
pub async fn remember_given(tx: &mut PgConnection, id: UserId, hash: &str) -> Result<()> {
    sqlx::query!(
        "INSERT INTO first_administrator (user_id, password_hash) VALUES ($1, $2)
         ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash",
        id.uuid(),
        hash,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Opens a session with its first refresh token.
pub async fn open_session(
    tx: &mut PgConnection,
    user: UserId,
    token: &RefreshToken,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "WITH session AS (INSERT INTO sessions (id, user_id) VALUES ($1, $2) RETURNING id)
         INSERT INTO refresh_tokens (hash, session_id, expires_at) SELECT $3, id, $4 FROM session",
        Uuid::now_v7(),
        user.uuid(),
        token.hash(),
        expires_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Spends a refresh token and stores the next, in one statement: of two requests with one token, one
/// finds it spent. None unless the token is fresh and its session lives.
pub async fn rotate(
    tx: &mut PgConnection,
    old: &RefreshToken,
    new: &RefreshToken,
    expires_at: DateTime<Utc>,
) -> Result<Option<(UserId, Vec<Role>)>> {
    let row = sqlx::query!(
        "WITH spent AS (
             UPDATE refresh_tokens t SET spent_at = now() FROM sessions s
             WHERE t.hash = $1 AND t.spent_at IS NULL AND t.expires_at > now()
               AND s.id = t.session_id AND s.revoked_at IS NULL
             RETURNING t.session_id, s.user_id
         ), issued AS (
             INSERT INTO refresh_tokens (hash, session_id, expires_at)
             SELECT $2, session_id, $3 FROM spent
         )
         SELECT a.id, a.roles FROM spent JOIN accounts a ON a.id = spent.user_id",
        old.hash(),
        new.hash(),
        expires_at,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| (row.id.into(), row.roles.iter().filter_map(|role| role_of(role)).collect())))
}

/// Revokes the session of a refresh token that was spent before: two hold it, and one of them has
/// stolen it. Tells whose session that was.
pub async fn revoke_reused(tx: &mut PgConnection, token: &RefreshToken) -> Result<Option<UserId>> {
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
pub async fn end_session(tx: &mut PgConnection, token: &RefreshToken) -> Result<()> {
    sqlx::query!(
        "UPDATE sessions s SET revoked_at = now() FROM refresh_tokens t
         WHERE t.hash = $1 AND s.id = t.session_id AND s.revoked_at IS NULL",
        token.hash(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Revokes all sessions of an account.
pub async fn end_sessions(tx: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!(
        "UPDATE sessions SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL",
        user.uuid(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes sessions that nobody can go on with. Spent tokens stay as long as their session does,
/// because only what is known can be seen to be reused.
pub async fn purge(pool: &PgPool) -> Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM sessions s WHERE NOT EXISTS (
             SELECT FROM refresh_tokens t WHERE t.session_id = s.id AND t.expires_at > now())",
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}
