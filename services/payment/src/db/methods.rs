//! Means of payment that shoppers keep.

use chrono::{DateTime, Utc};
use contracts::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, decode};
use crate::payment::Token;
use crate::provider::Kept;

/// A row of methods. The token stays inside.
#[derive(Clone, Debug)]
pub struct Method {
    /// Its id.
    pub id: Uuid,
    /// Who charges it.
    pub provider: String,
    /// Whose it is, as the provider says, e.g. `visa`.
    pub brand: String,
    /// The last four digits, as the provider says.
    pub last4: String,
    /// The shopper's own name for it.
    pub label: Option<String>,
    /// Whether it is the one that is meant when none is named.
    pub is_default: bool,
    /// When it was saved.
    pub created_at: DateTime<Utc>,
}

/// A method as it is charged.
#[derive(Clone, Debug)]
pub struct Chargeable {
    /// Who charges.
    pub provider: String,
    /// With what.
    pub token: Token,
    /// The provider's name for whom it belongs to.
    pub customer: Option<String>,
}

/// Stops others from changing the methods of this user until the transaction ends.
pub async fn lock(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('payment_methods ' || $1, 0))",
        user.to_string(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The methods of a user, the latest first.
pub async fn all(connection: &mut PgConnection, user: UserId) -> Result<Vec<Method>> {
    sqlx::query_as!(
        Method,
        "SELECT id, provider, brand, last4, label, is_default, created_at FROM payment_methods
         WHERE user_id = $1 ORDER BY id DESC",
        user.uuid(),
    )
    .fetch_all(connection)
    .await
}

/// A method to be.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Whose.
    pub user: UserId,
    /// Who charges.
    pub provider: &'a str,
    /// The provider's token.
    pub token: &'a Token,
    /// The shopper's own name for it.
    pub label: Option<&'a str>,
    /// Whether it is to be the default.
    pub is_default: bool,
    /// When the access token ends that it is stored with.
    pub token_expires_at: DateTime<Utc>,
}

/// Changes label and default of the method that has this token already; none: there is no such one.
pub async fn change(connection: &mut PgConnection, new: New<'_>) -> Result<Option<Method>> {
    sqlx::query!(
        "UPDATE payment_methods SET is_default = false
         WHERE user_id = $1 AND is_default AND $4 AND EXISTS (
             SELECT FROM payment_methods WHERE user_id = $1 AND provider = $2 AND token = $3)",
        new.user.uuid(),
        new.provider,
        new.token.as_str(),
        new.is_default,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_as!(
        Method,
        "UPDATE payment_methods
         SET label = coalesce($4, label), is_default = is_default OR $5, token_expires_at = $6
         WHERE user_id = $1 AND provider = $2 AND token = $3
         RETURNING id, provider, brand, last4, label, is_default, created_at",
        new.user.uuid(),
        new.provider,
        new.token.as_str(),
        new.label,
        new.is_default,
        new.token_expires_at,
    )
    .fetch_optional(connection)
    .await
}

/// Stores a method whose token the user does not have. The first one is the default.
pub async fn save(connection: &mut PgConnection, new: New<'_>, kept: &Kept) -> Result<Method> {
    sqlx::query!(
        "UPDATE payment_methods SET is_default = false WHERE user_id = $1 AND is_default AND $2",
        new.user.uuid(),
        new.is_default,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_as!(
        Method,
        "INSERT INTO payment_methods
             (id, user_id, provider, token, customer, brand, last4, label, is_default, token_expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8,
             $9 OR NOT EXISTS (SELECT FROM payment_methods WHERE user_id = $2), $10)
         RETURNING id, provider, brand, last4, label, is_default, created_at",
        Uuid::now_v7(),
        new.user.uuid(),
        new.provider,
        new.token.as_str(),
        kept.customer,
        kept.brand,
        kept.last4,
        new.label,
        new.is_default,
        new.token_expires_at,
    )
    .fetch_one(connection)
    .await
}

/// Removes a method; none: the user has no such one. The latest of the rest is the default then, if
/// this one was.
pub async fn remove(
    connection: &mut PgConnection,
    user: UserId,
    id: Uuid,
) -> Result<Option<Chargeable>> {
    let removed = sqlx::query!(
        "DELETE FROM payment_methods WHERE id = $1 AND user_id = $2
         RETURNING provider, token, customer, is_default",
        id,
        user.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(removed) = removed else { return Ok(None) };
    if removed.is_default {
        choose_default(connection, user).await?;
    }
    let token = removed.token.try_into().map_err(decode)?;
    Ok(Some(Chargeable { provider: removed.provider, token, customer: removed.customer }))
}

/// Makes the latest of a user's methods the default if none is.
async fn choose_default(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!(
        "UPDATE payment_methods SET is_default = true
         WHERE id = (SELECT id FROM payment_methods WHERE user_id = $1 ORDER BY id DESC LIMIT 1)
           AND NOT EXISTS (SELECT FROM payment_methods WHERE user_id = $1 AND is_default)",
        user.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The owner of an account's address was shown at this time, and may not be who registered it. Removes what was stored with
/// tokens that expire until then, and keeps them from storing more. How many methods are removed.
pub async fn remove_strangers(
    connection: &mut PgConnection,
    user: UserId,
    verified_at: DateTime<Utc>,
    tokens_expire_by: DateTime<Utc>,
) -> Result<u64> {
    lock(connection, user).await?;
    sqlx::query!(
        "WITH expired AS (
             DELETE FROM verified_accounts WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM verified_accounts
                 WHERE tokens_expire_by < now() - interval '1 hour' AND user_id <> $1
                 LIMIT 100 FOR UPDATE SKIP LOCKED)))
         INSERT INTO verified_accounts (user_id, tokens_expire_by) VALUES ($1, $2)
         ON CONFLICT (user_id) DO UPDATE SET tokens_expire_by = excluded.tokens_expire_by",
        user.uuid(),
        tokens_expire_by,
    )
    .execute(&mut *connection)
    .await?;
    let removed = sqlx::query!(
        "DELETE FROM payment_methods
         WHERE user_id = $1 AND CASE WHEN token_expires_at IS NULL THEN created_at <= $2 ELSE token_expires_at <= $3 END",
        user.uuid(),
        verified_at,
        tokens_expire_by,
    )
    .execute(&mut *connection)
    .await?;
    choose_default(connection, user).await?;
    Ok(removed.rows_affected())
}

/// Whether a token of the user that expires then may be that of a stranger who registered the account. The methods must be locked.
pub async fn may_be_strangers(
    connection: &mut PgConnection,
    user: UserId,
    token_expires_at: DateTime<Utc>,
) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM verified_accounts WHERE user_id = $1 AND tokens_expire_by >= $2) AS "found!""#,
        user.uuid(),
        token_expires_at,
    );
    found.fetch_one(connection).await
}

/// What an order is paid with by this method of the user's, or by the default one; none: there is
/// none, or it is somebody else's.
pub async fn chargeable(
    connection: &mut PgConnection,
    user: UserId,
    id: Option<Uuid>,
) -> Result<Option<Chargeable>> {
    let row = sqlx::query!(
        "SELECT provider, token, customer FROM payment_methods
         WHERE user_id = $1 AND (id = $2 OR ($2::uuid IS NULL AND is_default))",
        user.uuid(),
        id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let token = row.token.try_into().map_err(decode)?;
        Ok(Chargeable { provider: row.provider, token, customer: row.customer })
    })
    .transpose()
}
