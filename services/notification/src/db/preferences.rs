//! What somebody wants to be told, in Postgres.

use contracts::UserId;
use sqlx::PgConnection;

use super::{EMAIL, Result};
use crate::preferences::Preferences;
use crate::sms::SMS;

/// What this person wants.
pub async fn get(tx: &mut PgConnection, user: UserId) -> Result<Preferences> {
    let unwanted = sqlx::query_scalar!(
        "SELECT channel FROM preferences WHERE user_id = $1 AND NOT wanted",
        user.uuid(),
    )
    .fetch_all(tx)
    .await?;
    let wanted = |channel: &str| !unwanted.iter().any(|unwanted| unwanted == channel);
    Ok(Preferences { email: wanted(EMAIL), sms: Some(wanted(SMS)) })
}

/// Notes what this person wants from now on.
pub async fn set(tx: &mut PgConnection, user: UserId, preferences: Preferences) -> Result<()> {
    let Preferences { email, sms } = preferences;
    for (channel, wanted) in [(EMAIL, email)].into_iter().chain(sms.map(|sms| (SMS, sms))) {
        sqlx::query!(
            "INSERT INTO preferences (user_id, channel, wanted) VALUES ($1, $2, $3)
             ON CONFLICT (user_id, channel) DO UPDATE SET wanted = $3, updated_at = now()",
            user.uuid(),
            channel,
            wanted,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
