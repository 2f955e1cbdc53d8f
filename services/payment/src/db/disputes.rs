//! Charges that a shopper's bank wants back.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;

/// A dispute as a provider reports it.
#[derive(Clone, Debug)]
pub struct Report<'a> {
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
    /// Time of the provider's event.
    pub reported_at: DateTime<Utc>,
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

/// A dispute whose status has changed.
#[derive(Clone, Copy, Debug)]
pub struct Changed {
    /// The order that is paid.
    pub order: Uuid,
    /// The payment that is disputed.
    pub payment: Uuid,
}

/// Stores a report of a dispute, unless a later one is known. `None` when it changes no status, or is about no payment of
/// the shop's.
pub async fn note(
    connection: &mut PgConnection,
    provider: &str,
    report: &Report<'_>,
) -> Result<Option<Changed>> {
    // Providers send several webhooks of a dispute at once: each of them would see a new status.
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))",
        format!("{provider}/{}", report.reference),
    )
    .execute(&mut *connection)
    .await?;
    let noted = sqlx::query!(
        r#"INSERT INTO disputes
             (provider, reference, payment_id, amount, currency, reason, status, due_at, reported_at)
         SELECT $1, $2, id, $4, $5, $6, $7, $8, $9 FROM payments
         WHERE provider = $1 AND provider_reference = $3 AND status = 'captured'
         ON CONFLICT (provider, reference) DO UPDATE
         SET amount = excluded.amount, reason = excluded.reason, due_at = excluded.due_at,
             status = CASE WHEN disputes.status IN ('won', 'lost', 'warning_closed')
                      THEN disputes.status ELSE excluded.status END,
             reported_at = excluded.reported_at
         WHERE disputes.reported_at <= excluded.reported_at
         RETURNING payment_id, status,
             (SELECT order_id FROM payments p WHERE p.id = payment_id) AS "order_id!",
             (SELECT old.status FROM disputes old
              WHERE old.provider = $1 AND old.reference = $2) AS old_status"#,
        provider,
        report.reference,
        report.charge,
        report.amount,
        report.currency,
        report.reason,
        report.status,
        report.due_at,
        report.reported_at,
    );
    let noted = noted.fetch_optional(connection).await?;
    let changed = noted.filter(|row| row.old_status.as_ref() != Some(&row.status));
    Ok(changed.map(|row| Changed { order: row.order_id, payment: row.payment_id }))
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
