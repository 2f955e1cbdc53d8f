//! Money that goes back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::{Currency, EventId, Money, OrderId, PaymentId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, elapsed, money};
use crate::payment::{RefundStatus, Status};

/// A row of refunds.
#[derive(Clone, Debug)]
pub struct Refund {
    /// Idempotency key of the refund.
    pub id: Uuid,
    /// Minor units.
    pub amount: i64,
    /// How far it has come.
    pub status: RefundStatus,
    /// Why staff gives it back.
    pub reason: Option<String>,
    /// Why nothing was given back.
    pub failure_reason: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When one that has failed is tried again.
    pub retry_at: Option<DateTime<Utc>>,
}

/// Who asks for a refund.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Idempotency key of the refund.
    pub id: EventId,
    /// Why, and who of the staff says so; none: the order asks.
    pub by_staff: Option<(&'a str, UserId)>,
    /// W3C trace context of whatever asks for it.
    pub traceparent: Option<&'a str>,
}

/// Stores a refund of a payment that is locked and has so much left. If staff requests it, the caller publishes that.
pub async fn request_refund(
    connection: &mut PgConnection,
    payment: Uuid,
    amount: i64,
    asked: Asked<'_>,
) -> Result<()> {
    sqlx::query!(
        "UPDATE payments SET refunded = refunded + $2, updated_at = now() WHERE id = $1",
        payment,
        amount,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO refunds (id, payment_id, amount, status, reason, requested_by, traceparent,
             request_published)
         VALUES ($1, $2, $3, 'pending', $4, $5, $6, true)",
        asked.id.uuid(),
        payment,
        amount,
        asked.by_staff.map(|(reason, _)| reason),
        asked.by_staff.map(|(_, user)| user.uuid()),
        asked.traceparent,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a refund that an order asks for: all of `amount` that is left and is not owed already. The
/// order may not know of what staff has given back. When nothing is left and nothing is under way or
/// owed, the refund is of nothing, so that the order hears how much went back in all; what is under way
/// will publish that. False when the payment is not captured, or was less, or in another currency, or is none
/// at all.
pub async fn insert_refund(
    connection: &mut PgConnection,
    order: OrderId,
    amount: Money,
    asked: Asked<'_>,
) -> Result<bool> {
    let Some(payment) = super::lock(connection, order).await? else { return Ok(false) };
    let fits = payment.status == Status::Captured
        && payment.currency == amount.currency.as_str()
        && (0..=payment.amount).contains(&amount.amount);
    if !fits {
        return Ok(false);
    }
    let owed = super::owed(connection, payment.id).await?;
    let left = amount.amount.min(payment.amount - payment.refunded - owed).max(0);
    if left == 0 && (owed > 0 || under_way(connection, payment.id).await?) {
        return Ok(true);
    }
    request_refund(connection, payment.id, left, asked).await?;
    Ok(true)
}

async fn under_way(connection: &mut PgConnection, payment: Uuid) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM refunds WHERE payment_id = $1 AND status = 'pending')
               AS "there!""#,
        payment,
    )
    .fetch_one(connection)
    .await
}

/// A refund that this worker has taken upon itself.
#[derive(Clone, Debug)]
pub struct DueRefund {
    /// The refund.
    pub id: Uuid,
    /// Idempotency key of this attempt and of those before it whose outcome is not known.
    pub key: Uuid,
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
    /// How long ago it was asked for.
    pub age: Duration,
    /// How often it was tried, this time included.
    pub attempts: i32,
    /// W3C trace context of whatever has asked for it.
    pub traceparent: Option<String>,
}

/// Takes a refund that is due, of none of the busy providers; for as long as the lease lasts, no other worker does. One that
/// is due later than any pause is due: the database's clock was set back.
pub async fn lease_refund(
    connection: &mut PgConnection,
    lease: Duration,
    busy: &[String],
) -> Result<Option<DueRefund>> {
    let row = sqlx::query!(
        r#"UPDATE refunds SET attempts = refunds.attempts + 1, updated_at = now(),
               next_attempt_at = now() + make_interval(secs => $1)
           FROM payments
           WHERE payments.id = payment_id AND refunds.id = (
               SELECT r.id FROM refunds r JOIN payments p ON p.id = r.payment_id
               WHERE r.status = 'pending' AND p.provider <> ALL($2)
                 AND (r.next_attempt_at <= now() OR r.next_attempt_at > now() + interval '2 min')
               ORDER BY r.next_attempt_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED)
           RETURNING refunds.id, provider_key, payment_id, order_id, refunds.amount, currency,
               provider, payments.provider_reference AS "reference!", refunds.attempts,
               refunds.traceparent,
               extract(epoch FROM now() - refunds.created_at)::float8 AS "age!""#,
        lease.as_secs_f64(),
        busy,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(DueRefund {
            id: row.id,
            key: row.provider_key.unwrap_or(row.id),
            payment: row.payment_id.into(),
            order: row.order_id.into(),
            amount: money(row.amount, &row.currency)?,
            provider: row.provider,
            reference: row.reference,
            age: elapsed(row.age),
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

/// Notes that the money is on its way back, and says how much of the payment went back in all; none
/// when that was known. The payment is locked first: of two refunds that are done at the same time
/// one must see the other, or nobody would tell that all went back.
pub async fn finish_refund(
    connection: &mut PgConnection,
    due: &DueRefund,
    reference: &str,
) -> Result<Option<Money>> {
    sqlx::query!("SELECT FROM payments WHERE id = $1 FOR UPDATE", due.payment.uuid())
        .execute(&mut *connection)
        .await?;
    let done = sqlx::query!(
        "UPDATE refunds SET status = 'done', provider_reference = $2, updated_at = now()
         WHERE id = $1 AND status = 'pending'",
        due.id,
        reference,
    );
    if done.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(None);
    }
    refunded_total(connection, due.payment, due.amount.currency).await.map(Some)
}

/// What went back of a payment in all.
pub(super) async fn refunded_total(
    connection: &mut PgConnection,
    payment: PaymentId,
    currency: Currency,
) -> Result<Money> {
    let total = sqlx::query_scalar!(
        r#"SELECT sum(amount)::bigint AS "total!" FROM refunds
           WHERE payment_id = $1 AND status = 'done'"#,
        payment.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Money::new(total, currency))
}

/// Pause in seconds before a refund that has failed is tried again; doubles with each failure.
const FIRST_PAUSE: f64 = 300.0;
const LONGEST_PAUSE: f64 = 43_200.0;

/// Notes that nothing was given back; false when that was known. It is owed, and tried again.
pub async fn fail_refund(
    connection: &mut PgConnection,
    refund: Uuid,
    reason: &str,
) -> Result<bool> {
    let failed = sqlx::query!(
        "WITH refund AS (
            UPDATE refunds SET status = 'failed', failure_reason = $2, updated_at = now(),
                retries = retries + 1,
                next_attempt_at = now() + make_interval(secs => least($3 * 2 ^ least(retries, 20), $4))
            WHERE id = $1 AND status = 'pending' RETURNING payment_id, amount
        )
        UPDATE payments SET refunded = refunded - refund.amount, updated_at = now()
        FROM refund WHERE id = payment_id",
        refund,
        reason,
        FIRST_PAUSE,
        LONGEST_PAUSE,
    );
    Ok(failed.execute(connection).await?.rows_affected() == 1)
}

/// Notes that a refund has come to nothing after it was done, as a provider says that knows it by
/// this reference. Says whose it was; none when there is no such refund.
pub async fn owe_again(
    connection: &mut PgConnection,
    provider: &str,
    reference: &str,
    reason: &str,
) -> Result<Option<(OrderId, PaymentId)>> {
    let row = sqlx::query!(
        "WITH refund AS (
            UPDATE refunds r SET status = 'failed', failure_reason = $3, updated_at = now(),
                owed = true, retries = retries + 1,
                next_attempt_at = now() + make_interval(secs => least($4 * 2 ^ least(retries, 20), $5))
            FROM payments p
            WHERE r.provider_reference = $2 AND r.status = 'done' AND p.id = r.payment_id
              AND p.provider = $1
            RETURNING r.payment_id, r.amount
        )
        UPDATE payments SET refunded = refunded - refund.amount, updated_at = now()
        FROM refund WHERE id = payment_id RETURNING order_id, id",
        provider,
        reference,
        reason,
        FIRST_PAUSE,
        LONGEST_PAUSE,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.order_id.into(), row.id.into())))
}

/// The refunds of a payment, the oldest first.
pub async fn refunds(connection: &mut PgConnection, payment: Uuid) -> Result<Vec<Refund>> {
    sqlx::query_as!(
        Refund,
        r#"SELECT id, amount, status AS "status: RefundStatus", reason, failure_reason,
               created_at,
               CASE WHEN status = 'failed' AND owed AND failure_reason <> $2
                   THEN next_attempt_at END AS retry_at
           FROM refunds WHERE payment_id = $1 ORDER BY id"#,
        payment,
        super::NOT_CONFIGURED,
    )
    .fetch_all(connection)
    .await
}
