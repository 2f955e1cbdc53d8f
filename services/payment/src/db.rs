//! What payment keeps in Postgres.

mod refunds;

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::{Money, OrderId, PaymentId, UserId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::payment::{Status, Token};

pub use refunds::{
    DueRefund, Refund, fail_refund, finish_refund, insert_refund, lease_refund, postpone_refund,
    refunds,
};

type Result<T> = sqlx::Result<T>;

/// A row of payments.
#[derive(Clone, Debug)]
pub struct Payment {
    /// Idempotency key of the charge.
    pub id: Uuid,
    /// What is paid.
    pub order_id: Uuid,
    /// Who pays.
    pub user_id: Uuid,
    /// What to charge, in minor units.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// Who charges.
    pub provider: String,
    /// How far it has come.
    pub status: Status,
    /// Why nothing was charged.
    pub failure_reason: Option<String>,
    /// Minor units that went back or are on their way.
    pub refunded: i64,
    /// When the order was ready to be paid.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// A payment to be.
#[derive(Clone, Debug)]
pub struct New {
    /// What is paid.
    pub order: OrderId,
    /// Who pays.
    pub user: UserId,
    /// What to charge.
    pub amount: Money,
    /// Who charges.
    pub provider: &'static str,
    /// W3C trace context of whatever asks for the payment.
    pub traceparent: Option<String>,
}

/// Stores a payment that is to be charged, or one that has failed before it began; none when the
/// order has a payment already.
pub async fn insert(
    connection: &mut PgConnection,
    new: &New,
    token: std::result::Result<&Token, &str>,
) -> Result<Option<PaymentId>> {
    let (status, reason) = match token {
        Ok(_) => (Status::Pending, None),
        Err(reason) => (Status::Failed, Some(reason)),
    };
    let id = sqlx::query_scalar!(
        "INSERT INTO payments
             (id, order_id, user_id, amount, currency, provider, token, status, failure_reason,
              traceparent)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (order_id) DO NOTHING RETURNING id",
        PaymentId::new().uuid(),
        new.order.uuid(),
        new.user.uuid(),
        new.amount.amount,
        new.amount.currency.as_str(),
        new.provider,
        token.ok().map(Token::as_str),
        status as Status,
        reason,
        new.traceparent,
    )
    .fetch_optional(connection)
    .await?;
    Ok(id.map(PaymentId::from))
}

/// A charge that this worker has taken upon itself.
#[derive(Clone, Debug)]
pub struct DueCharge {
    /// The payment.
    pub id: PaymentId,
    /// Its order.
    pub order: OrderId,
    /// What to charge.
    pub amount: Money,
    /// Who charges.
    pub provider: String,
    /// With what.
    pub token: Token,
    /// How often it was tried, this time included.
    pub attempts: i32,
    /// W3C trace context of whatever has asked for it.
    pub traceparent: Option<String>,
}

fn decode<E: std::error::Error + Send + Sync + 'static>(error: E) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn money(amount: i64, currency: &str) -> Result<Money> {
    Ok(Money::new(amount, currency.parse().map_err(decode)?))
}

/// Takes a payment that is due; for as long as the lease lasts, nobody else does.
pub async fn lease_charge(
    connection: &mut PgConnection,
    lease: Duration,
) -> Result<Option<DueCharge>> {
    let row = sqlx::query!(
        r#"UPDATE payments SET attempts = attempts + 1, updated_at = now(),
               next_attempt_at = now() + make_interval(secs => $1)
           WHERE id = (
               SELECT id FROM payments WHERE status = 'pending' AND next_attempt_at <= now()
               ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING id, order_id, amount, currency, provider, token AS "token!", attempts,
               traceparent"#,
        lease.as_secs_f64(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(DueCharge {
            id: row.id.into(),
            order: row.order_id.into(),
            amount: money(row.amount, &row.currency)?,
            provider: row.provider,
            token: row.token.try_into().map_err(decode)?,
            attempts: row.attempts,
            traceparent: row.traceparent,
        })
    })
    .transpose()
}

/// Ends the lease early: the payment is due again after `pause`.
pub async fn postpone_charge(
    connection: &mut PgConnection,
    due: &DueCharge,
    pause: Duration,
) -> Result<()> {
    sqlx::query!(
        "UPDATE payments SET next_attempt_at = now() + make_interval(secs => $3)
         WHERE id = $1 AND attempts = $2 AND status = 'pending'",
        due.id.uuid(),
        due.attempts,
        pause.as_secs_f64(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that the money is ours; false when that was known.
pub async fn capture(
    connection: &mut PgConnection,
    payment: PaymentId,
    reference: &str,
) -> Result<bool> {
    let captured = sqlx::query!(
        "UPDATE payments SET status = 'captured', provider_reference = $2, token = NULL,
             updated_at = now()
         WHERE id = $1 AND status = 'pending'",
        payment.uuid(),
        reference,
    );
    Ok(captured.execute(connection).await?.rows_affected() == 1)
}

/// Notes that nothing was charged; false when that was known.
pub async fn fail(connection: &mut PgConnection, payment: PaymentId, reason: &str) -> Result<bool> {
    let failed = sqlx::query!(
        "UPDATE payments SET status = 'failed', failure_reason = $2, token = NULL,
             updated_at = now()
         WHERE id = $1 AND status = 'pending'",
        payment.uuid(),
        reason,
    );
    Ok(failed.execute(connection).await?.rows_affected() == 1)
}

/// The payment of an order.
pub async fn find(connection: &mut PgConnection, order: OrderId) -> Result<Option<Payment>> {
    sqlx::query_as!(
        Payment,
        r#"SELECT id, order_id, user_id, amount, currency, provider, status AS "status: Status",
               failure_reason, refunded, created_at, updated_at
           FROM payments WHERE order_id = $1"#,
        order.uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// A page of payments, the latest first.
pub async fn list(connection: &mut PgConnection, window: &Window<Uuid>) -> Result<Vec<Payment>> {
    sqlx::query_as!(
        Payment,
        r#"SELECT id, order_id, user_id, amount, currency, provider, status AS "status: Status",
               failure_reason, refunded, created_at, updated_at
           FROM payments WHERE $1::uuid IS NULL OR id < $1
           ORDER BY id DESC LIMIT $2 OFFSET $3"#,
        window.after,
        window.fetch(),
        window.offset,
    )
    .fetch_all(connection)
    .await
}
