//! Charges that a shopper's bank wants back.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;

/// What a provider tells of a dispute.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    /// The provider's name for it.
    pub reference: &'a str,
    /// The provider's name for the charge.
    pub charge: &'a str,
    /// Minor units, as the provider counts them.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: &'a str,
    /// The bank's reason, e.g. `fraudulent`.
    pub reason: &'a str,
    /// The provider's word for how far it has come, e.g. `needs_response`.
    pub status: &'a str,
    /// Until when it has to be answered.
    pub due_at: Option<DateTime<Utc>>,
    /// When the provider said so.
    pub told_at: DateTime<Utc>,
}

/// A row of disputes.
#[derive(Clone, Debug)]
pub struct Dispute {
    /// The provider's name for it.
    pub reference: String,
    /// The bank's reason.
    pub reason: String,
    /// The provider's word for how far it has come.
    pub status: String,
    /// Until when it has to be answered.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was heard of first.
    pub created_at: DateTime<Utc>,
}

/// Notes what is told of a dispute, unless something later is known. False when it is about no payment of the shop's.
pub async fn note(connection: &mut PgConnection, provider: &str, told: &Told<'_>) -> Result<bool> {
    let noted = sqlx::query!(
        "INSERT INTO disputes
             (provider, reference, payment_id, amount, currency, reason, status, due_at, told_at)
         SELECT $1, $2, id, $4, $5, $6, $7, $8, $9 FROM payments
         WHERE provider = $1 AND provider_reference = $3 AND status = 'captured'
         ON CONFLICT (provider, reference) DO UPDATE
         SET amount = excluded.amount, reason = excluded.reason, due_at = excluded.due_at,
             status = CASE WHEN disputes.status IN ('won', 'lost', 'warning_closed')
                      THEN disputes.status ELSE excluded.status END,
             told_at = excluded.told_at
         WHERE disputes.told_at <= excluded.told_at",
        provider,
        told.reference,
        told.charge,
        told.amount,
        told.currency,
        told.reason,
        told.status,
        told.due_at,
        told.told_at,
    );
    Ok(noted.execute(connection).await?.rows_affected() == 1)
}

/// The disputes about a payment, the oldest first.
pub async fn of(connection: &mut PgConnection, payment: Uuid) -> Result<Vec<Dispute>> {
    sqlx::query_as!(
        Dispute,
        "SELECT reference, reason, status, due_at, created_at FROM disputes
         WHERE payment_id = $1 ORDER BY created_at, reference",
        payment,
    )
    .fetch_all(connection)
    .await
}

/// How many wait for an answer of staff, and how many for the bank's decision.
pub async fn open(connection: &mut PgConnection) -> Result<(i64, i64)> {
    let open = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE status LIKE '%needs_response') AS "unanswered!",
                  count(*) FILTER (WHERE status LIKE '%under_review') AS "answered!"
           FROM disputes"#,
    )
    .fetch_one(connection)
    .await?;
    Ok((open.unanswered, open.answered))
}
