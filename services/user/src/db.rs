//! Accounts in Postgres, and what belongs to them.

pub mod addresses;
pub mod administrators;
pub mod attempts;
pub mod devices;
pub mod email_tokens;
pub mod favourites;
pub mod notices;
pub mod purge;
pub mod sessions;

use chrono::{DateTime, Utc};
use contracts::UserId;
use kit::auth::Role;
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::account::{Account, Email, Name, role_name, role_of};

/// Violated when an address has an account already.
pub const EMAIL_UNIQUE: &str = "accounts_email_key";

type Result<T> = std::result::Result<T, sqlx::Error>;

struct Row {
    id: Uuid,
    email: String,
    name: String,
    roles: Vec<String>,
    email_verified: bool,
    blocked: bool,
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
            email_verified: row.email_verified,
            blocked: row.blocked,
            version: row.version,
            created_at: row.created_at,
        }
    }
}

/// Accounts that a statement reads or returns: their columns stand here once.
macro_rules! accounts {
    (SELECT $rest:literal $(, $argument:expr)* $(,)?) => {
        accounts!(@ "", "SELECT ", $rest $(, $argument)*)
    };
    ($change:literal RETURNING $(, $argument:expr)* $(,)?) => {
        accounts!(@ $change, " RETURNING ", "" $(, $argument)*)
    };
    (@ $change:literal, $verb:literal, $rest:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            $change
                + $verb
                + r#"id, email, email_verified_at IS NOT NULL AS "email_verified!", name, roles,
                     blocked_at IS NOT NULL AS "blocked!", version, created_at "#
                + $rest
            $(, $argument)*
        )
    };
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
    accounts!(
        "INSERT INTO accounts (id, email, name, password_hash, roles) VALUES ($1, $2, $3, $4, $5)" RETURNING,
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
    accounts!(
        SELECT "FROM accounts WHERE id = $1",
        id.uuid(),
    )
    .fetch_optional(tx)
    .await
    .map(|row| row.map(Account::from))
}

/// Id and password hash of the account with this address.
pub async fn by_email(
    tx: &mut PgConnection,
    email: &Email,
) -> Result<Option<(UserId, Option<String>)>> {
    let row =
        sqlx::query!("SELECT id, password_hash FROM accounts WHERE email = $1", email.as_str(),)
            .fetch_optional(tx)
            .await?;
    Ok(row.map(|row| (row.id.into(), row.password_hash)))
}

/// Accounts, the newest first.
pub async fn list(tx: &mut PgConnection, window: &Window<UserId>) -> Result<Vec<Account>> {
    let rows = accounts!(
        SELECT "FROM accounts WHERE $1::uuid IS NULL OR id < $1
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
    accounts!(
        "UPDATE accounts SET name = $3, version = version + 1, updated_at = now()
         WHERE id = $1 AND version = $2" RETURNING,
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
    accounts!(
        "UPDATE accounts SET roles = $3, version = version + 1, updated_at = now()
         WHERE id = $1 AND version = $2" RETURNING,
        id.uuid(),
        version,
        &names(roles),
    )
    .fetch_optional(tx)
    .await
    .map(|row| row.map(Account::from))
}

/// Blocks or unblocks, if the account still has this version.
pub async fn set_blocked(
    tx: &mut PgConnection,
    id: UserId,
    version: i64,
    blocked: bool,
) -> Result<Option<Account>> {
    accounts!(
        "UPDATE accounts SET blocked_at = CASE WHEN $3 THEN coalesce(blocked_at, now()) END,
             version = version + 1, updated_at = now()
         WHERE id = $1 AND version = $2" RETURNING,
        id.uuid(),
        version,
        blocked,
    )
    .fetch_optional(tx)
    .await
    .map(|row| row.map(Account::from))
}

/// The accounts that have been blocked since then, and are.
pub async fn blocked_since(
    connection: &mut PgConnection,
    since: DateTime<Utc>,
) -> Result<Vec<UserId>> {
    let ids = sqlx::query_scalar!("SELECT id FROM accounts WHERE blocked_at > $1", since);
    Ok(ids.fetch_all(connection).await?.into_iter().map(UserId::from).collect())
}

/// Locks an account that its owner is about to change. Whether it is blocked, if there is one.
pub async fn lock(tx: &mut PgConnection, id: UserId) -> Result<Option<bool>> {
    sqlx::query_scalar!(
        r#"SELECT blocked_at IS NOT NULL AS "blocked!" FROM accounts WHERE id = $1
           FOR NO KEY UPDATE"#,
        id.uuid(),
    )
    .fetch_optional(tx)
    .await
}

/// Records that the address is verified, unless it was, and whether its owner may not know the password. The account's version
/// if it was not verified.
pub async fn set_verified(
    tx: &mut PgConnection,
    id: UserId,
    password_unproven: bool,
) -> Result<Option<i64>> {
    sqlx::query_scalar!(
        "UPDATE accounts SET email_verified_at = now(), password_unproven = $2,
             version = version + 1, updated_at = now()
         WHERE id = $1 AND email_verified_at IS NULL RETURNING version",
        id.uuid(),
        password_unproven,
    )
    .fetch_optional(tx)
    .await
}

/// Whether the address is known to be the owner's.
pub async fn is_verified(tx: &mut PgConnection, id: UserId) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT email_verified_at IS NOT NULL AS "verified!" FROM accounts WHERE id = $1"#,
        id.uuid(),
    )
    .fetch_one(tx)
    .await
}

/// Records that the reader of the address's e-mails chooses the password, which raises the version afterwards. False if it was known
/// before that the password is theirs.
pub async fn set_proven(tx: &mut PgConnection, id: UserId) -> Result<bool> {
    let proven = sqlx::query!(
        "UPDATE accounts SET email_verified_at = coalesce(email_verified_at, now()), password_unproven = false
         WHERE id = $1 AND (email_verified_at IS NULL OR password_unproven)",
        id.uuid(),
    )
    .execute(tx)
    .await?;
    Ok(proven.rows_affected() > 0)
}

/// Address and password hash of an account.
pub async fn credentials(
    tx: &mut PgConnection,
    id: UserId,
) -> Result<Option<(String, Option<String>)>> {
    let row = sqlx::query!("SELECT email, password_hash FROM accounts WHERE id = $1", id.uuid())
        .fetch_optional(tx)
        .await?;
    Ok(row.map(|row| (row.email, row.password_hash)))
}

/// Gives an account another password; its version after, if there is the account.
pub async fn set_password(tx: &mut PgConnection, id: UserId, hash: &str) -> Result<Option<i64>> {
    sqlx::query_scalar!(
        "UPDATE accounts SET password_hash = $2, version = version + 1, updated_at = now()
         WHERE id = $1 RETURNING version",
        id.uuid(),
        hash,
    )
    .fetch_optional(tx)
    .await
}
