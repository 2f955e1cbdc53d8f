//! Addresses in Postgres.

use contracts::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;
use crate::address::{Address, Place};

/// Addresses that a statement reads or returns: their columns stand here once.
macro_rules! addresses {
    (SELECT $rest:literal $(, $argument:expr)* $(,)?) => {
        addresses!(@ "", "SELECT ", $rest $(, $argument)*)
    };
    ($change:literal RETURNING $(, $argument:expr)* $(,)?) => {
        addresses!(@ $change, " RETURNING ", "" $(, $argument)*)
    };
    (@ $change:literal, $verb:literal, $rest:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Address,
            $change
                + $verb
                + "id, recipient, line1, line2, city, region, postal_code, country, phone, is_default,
             version, created_at "
                + $rest
            $(, $argument)*
        )
    };
}

/// All addresses of an account, the default first, then the newest.
pub async fn list(tx: &mut PgConnection, user: UserId) -> Result<Vec<Address>> {
    addresses!(
        SELECT "FROM addresses WHERE user_id = $1 ORDER BY is_default DESC, id DESC",
        user.uuid(),
    )
    .fetch_all(tx)
    .await
}

/// How many addresses an account has. Apart from the lock: its statement sees what was there before it
/// waited.
pub async fn count(tx: &mut PgConnection, user: UserId) -> Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM addresses WHERE user_id = $1"#,
        user.uuid(),
    )
    .fetch_one(tx)
    .await
}

/// Adds an address.
pub async fn insert(tx: &mut PgConnection, user: UserId, place: &Place) -> Result<Address> {
    addresses!(
        "INSERT INTO addresses (id, user_id, recipient, line1, line2, city, region, postal_code,
                                country, phone, is_default)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)" RETURNING,
        Uuid::now_v7(),
        user.uuid(),
        place.recipient,
        place.line1,
        place.line2,
        place.city,
        place.region,
        place.postal_code,
        place.country,
        place.phone,
        place.is_default,
    )
    .fetch_one(tx)
    .await
}

/// Changes an address, if it still has this version.
pub async fn update(
    tx: &mut PgConnection,
    user: UserId,
    id: Uuid,
    version: i64,
    place: &Place,
) -> Result<Option<Address>> {
    addresses!(
        "UPDATE addresses SET recipient = $4, line1 = $5, line2 = $6, city = $7, region = $8,
                postal_code = $9, country = $10, phone = $11, is_default = is_default OR $12,
                version = version + 1
         WHERE user_id = $1 AND id = $2 AND version = $3" RETURNING,
        user.uuid(),
        id,
        version,
        place.recipient,
        place.line1,
        place.line2,
        place.city,
        place.region,
        place.postal_code,
        place.country,
        place.phone,
        place.is_default,
    )
    .fetch_optional(tx)
    .await
}

/// Whether the account has this address.
pub async fn exists(tx: &mut PgConnection, user: UserId, id: Uuid) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM addresses WHERE user_id = $1 AND id = $2) AS "exists!""#,
        user.uuid(),
        id,
    )
    .fetch_one(tx)
    .await
}

/// Takes the mark from whichever other address is the default.
pub async fn unmark_others(tx: &mut PgConnection, user: UserId, id: Option<Uuid>) -> Result<()> {
    sqlx::query!(
        "UPDATE addresses SET is_default = false, version = version + 1
         WHERE user_id = $1 AND is_default AND id IS DISTINCT FROM $2",
        user.uuid(),
        id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes all addresses of an account.
pub async fn delete_all(tx: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("DELETE FROM addresses WHERE user_id = $1", user.uuid()).execute(tx).await?;
    Ok(())
}

/// Removes an address; the newest of the others becomes the default if this one was.
pub async fn delete(tx: &mut PgConnection, user: UserId, id: Uuid) -> Result<()> {
    let was_default = sqlx::query_scalar!(
        "DELETE FROM addresses WHERE user_id = $1 AND id = $2 RETURNING is_default",
        user.uuid(),
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    if was_default == Some(true) {
        sqlx::query!(
            "UPDATE addresses SET is_default = true, version = version + 1
             WHERE id = (SELECT id FROM addresses WHERE user_id = $1 ORDER BY id DESC LIMIT 1)",
            user.uuid(),
        )
        .execute(tx)
        .await?;
    }
    Ok(())
}
