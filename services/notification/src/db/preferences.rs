//! What somebody wants to be told, in Postgres.

use contracts::UserId;
use sqlx::PgConnection;

use super::{EMAIL, Result};
use crate::preferences::Preferences;

/// What this person wants.
pub async fn get(tx: &mut PgConnection, user: UserId) -> Result<Preferences> {
    let email = sqlx::query_scalar!(
        "SELECT wanted FROM preferences WHERE user_id = $1 AND channel = $2",
        user.uuid(),
        EMAIL,
    )
    .fetch_optional(tx)
    .await?;
    Ok(Preferences { email: email.unwrap_or(true) })
}

/// Notes what this person wants from now on.
pub async fn set(tx: &mut PgConnection, user: UserId, preferences: Preferences) -> Result<()> {
    sqlx::query!(
        "INSERT INTO preferences (user_id, channel, wanted) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, channel) DO UPDATE SET wanted = $3, updated_at = now()",
        user.uuid(),
        EMAIL,
        preferences.email,
    )
    .execute(tx)
    .await?;
    Ok(())
}
