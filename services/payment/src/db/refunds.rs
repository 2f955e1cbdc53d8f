//! Money that goes back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::{EventId, Money, OrderId, PaymentId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, money};
use crate::payment::RefundStatus;

/// A row of refunds.
#[derive(Clone, Debug)]
pub struct Refund {
    /// Idempotency key of the refund.
    pub id: Uuid,
    /// Minor units.
    pub amount: i64,
    /// How far it has come.
    pub status: RefundStatus,
    /// Why nothing was given back.
    pub failure_reason: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

/// Stores a refund of an order's payment, and in whose trace (W3C) it is asked for. False when the payment has not so much left, or is not
/// captured, or is in another currency, or is none at all. The update locks the row, so that two
/// refunds cannot both take what is left.
pub async fn insert_refund(
    connection: &mut PgConnection,
    id: EventId,
    order: OrderId,
    amount: Money,
    traceparent: Option<&str>,
) -> Result<bool> {
    let stored = sqlx::query!(
        "WITH payment AS (
            UPDATE payments SET refunded = refunded + $3::bigint, updated_at = now()
            WHERE order_id = $2 AND currency = $4 AND status = 'captured'
              AND $3::bigint BETWEEN 0 AND amount - refunded
            RETURNING id
        )
        INSERT INTO refunds (id, payment_id, amount, status, traceparent)
        SELECT $1, id, $3, 'pending', $5 FROM payment",
        id.uuid(),
        order.uuid(),
        amount.amount,
        amount.currency.as_str(),
        traceparent,
    )
    .execute(connection)
    .await?;
    Ok(stored.rows_affected() == 1)
}

/// A refund that this worker has taken upon itself.
#[derive(Clone, Debug)]
pub struct DueRefund {
    /// The refund.
    pub id: Uuid,
    /// The payment.
    pub payment: PaymentId,
    /// Its order.
    pub order: OrderId,
    /// What to give back.
    pub amount: Money,
    /// Who gives it back.
    pub provider: String,
    /// The provider's name for the charge.
    pub reference: String,
    /// How often it was tried, this time included.
    pub attempts: i32,
    /// W3C trace context of whatever has asked for it.
    pub traceparent: Option<String>,
}

/// Takes a refund that is due; for as long as the lease lasts, nobody else does.
pub async fn lease_refund(
    connection: &mut PgConnection,
    lease: Duration,
) -> Result<Option<DueRefund>> {
    let row = sqlx::query!(
        r#"UPDATE refunds SET attempts = refunds.attempts + 1, updated_at = now(),
               next_attempt_at = now() + make_interval(secs => $1)
           FROM payments
           WHERE payments.id = payment_id AND refunds.id = (
               SELECT id FROM refunds WHERE status = 'pending' AND next_attempt_at <= now()
               ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING refunds.id, payment_id, order_id, refunds.amount, currency, provider,
               payments.provider_reference AS "reference!", refunds.attempts,
               refunds.traceparent"#,
        lease.as_secs_f64(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(DueRefund {
            id: row.id,
            payment: row.payment_id.into(),
            order: row.order_id.into(),
            amount: money(row.amount, &row.currency)?,
            provider: row.provider,
            reference: row.reference,
            attempts: row.attempts,
            traceparent: row.traceparent,
        })
    })
    .transpose()
}

/// Ends the lease early: the refund is due again after `pause`.
pub async fn postpone_refund(
    connection: &mut PgConnection,
    due: &DueRefund,
    pause: Duration,
) -> Result<()> {
    sqlx::query!(
        "UPDATE refunds SET next_attempt_at = now() + make_interval(secs => $3)
         WHERE id = $1 AND attempts = $2 AND status = 'pending'",
        due.id,
        due.attempts,
        pause.as_secs_f64(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that the money is on its way back; false when that was known.
pub async fn finish_refund(
    connection: &mut PgConnection,
    refund: Uuid,
    reference: &str,
) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE refunds SET status = 'done', provider_reference = $2, updated_at = now()
         WHERE id = $1 AND status = 'pending'",
        refund,
        reference,
    );
    Ok(done.execute(connection).await?.rows_affected() == 1)
}

/// Notes that nothing was given back; false when that was known.
pub async fn fail_refund(
    connection: &mut PgConnection,
    refund: Uuid,
    reason: &str,
) -> Result<bool> {
    let failed = sqlx::query!(
        "WITH refund AS (
            UPDATE refunds SET status = 'failed', failure_reason = $2, updated_at = now()
            WHERE id = $1 AND status = 'pending' RETURNING payment_id, amount
        )
        UPDATE payments SET refunded = refunded - refund.amount, updated_at = now()
        FROM refund WHERE id = payment_id",
        refund,
        reason,
    );
    Ok(failed.execute(connection).await?.rows_affected() == 1)
}

/// The refunds of a payment, the oldest first.
pub async fn refunds(connection: &mut PgConnection, payment: Uuid) -> Result<Vec<Refund>> {
    sqlx::query_as!(
        Refund,
        r#"SELECT id, amount, status AS "status: RefundStatus", failure_reason, created_at
           FROM refunds WHERE payment_id = $1 ORDER BY id"#,
        payment,
    )
    .fetch_all(connection)
    .await
}
