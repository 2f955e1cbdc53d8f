//! Administrators in Postgres.

use contracts::UserId;
use sqlx::PgConnection;

use super::Result;

/// Locks the accounts that may administer the shop now, and returns them. In the order of their ids, so that two who
/// do this at once wait for each other, and the second sees what the first has left.
pub async fn lock(tx: &mut PgConnection) -> Result<Vec<UserId>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM accounts WHERE 'admin' = ANY(roles) AND blocked_at IS NULL
         ORDER BY id FOR NO KEY UPDATE",
    )
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(UserId::from).collect())
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
