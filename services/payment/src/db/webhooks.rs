//! What providers tell us of their own accord.

use kit::{purge, purge_table};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Result;

/// Notes an event of a provider's; false when it was told before.
pub async fn note(
    connection: &mut PgConnection,
    provider: &str,
    event_id: &str,
    r#type: &str,
) -> Result<bool> {
    let noted = sqlx::query!(
        "INSERT INTO webhook_events (provider, event_id, type) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
        provider,
        event_id,
        r#type,
    );
    Ok(noted.execute(connection).await?.rows_affected() == 1)
}

/// Forgets what cannot come again: a webhook is taken for minutes after it was signed, and a
/// provider signs it anew for a few days.
pub async fn forget(pool: &PgPool) -> Result<()> {
    purge::all([purge_table!(
        pool,
        "webhook_events",
        "received_at",
        "received_at < now() - interval '30 days'"
    )])
}

/// Something has happened to a charge that the provider knows by this reference or by our key: the
/// worker is to ask about it if it waits. Says whether it does.
pub async fn look_again(
    connection: &mut PgConnection,
    provider: &str,
    reference: &str,
    key: Option<Uuid>,
) -> Result<bool> {
    let due = sqlx::query!(
        "UPDATE payments SET next_attempt_at = now()
         WHERE provider = $1 AND status = 'requires_action'
           AND (provider_reference = $2 OR id = $3)",
        provider,
        reference,
        key,
    );
    Ok(due.execute(connection).await?.rows_affected() > 0)
}
