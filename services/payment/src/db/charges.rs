//! Money that comes.

use std::time::Duration;

use contracts::{Money, OrderId, PaymentId, UserId};
use sqlx::PgConnection;

use super::{Result, decode, elapsed, money};
use crate::payment::{Status, Token};

/// A payment to be.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// What is paid.
    pub order: OrderId,
    /// Who pays.
    pub user: UserId,
    /// What to charge.
    pub amount: Money,
    /// Who charges.
    pub provider: &'a str,
    /// The provider's name for whom a saved token belongs to.
    pub customer: Option<&'a str>,
    /// W3C trace context of whatever asks for the payment.
    pub traceparent: Option<String>,
}

/// Stores a payment that is to be charged, or one that has failed before it began; none when the
/// order has a payment already.
pub async fn insert(
    connection: &mut PgConnection,
    new: &New<'_>,
    token: std::result::Result<&Token, &str>,
) -> Result<Option<PaymentId>> {
    let (status, reason) = match token {
        Ok(_) => (Status::Pending, None),
        Err(reason) => (Status::Failed, Some(reason)),
    };
    let id = sqlx::query_scalar!(
        "INSERT INTO payments
             (id, order_id, user_id, amount, currency, provider, token, customer, status,
              failure_reason, traceparent)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (order_id) DO NOTHING RETURNING id",
        PaymentId::new().uuid(),
        new.order.uuid(),
        new.user.uuid(),
        new.amount.amount,
        new.amount.currency.as_str(),
        new.provider,
        token.ok().map(Token::as_str),
        new.customer,
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
    /// Who pays.
    pub user: UserId,
    /// What to charge.
    pub amount: Money,
    /// Who charges.
    pub provider: String,
    /// The provider's name for whom a saved token belongs to.
    pub customer: Option<String>,
    /// What is to be done.
    pub stage: Stage,
    /// How long ago the order has ended; none: it has not.
    pub given_up: Option<Duration>,
    /// How long ago it was asked for.
    pub age: Duration,
    /// How often it was tried, this time included.
    pub attempts: i32,
    /// W3C trace context of whatever has asked for it.
    pub traceparent: Option<String>,
}

/// How far a charge has come that is due.
#[derive(Clone, Debug)]
pub enum Stage {
    /// To be charged.
    Charge(Token),
    /// Waits for the shopper.
    Waiting {
        /// The provider's name for the charge.
        reference: String,
        /// Whether the shopper says that it is done.
        confirmed: bool,
    },
}

/// Takes a payment that is due, of none of the busy providers; for as long as the lease lasts, no other worker does. One that
/// is due later than any pause is due: the database's clock was set back.
pub async fn lease_charge(
    connection: &mut PgConnection,
    lease: Duration,
    busy: &[String],
) -> Result<Option<DueCharge>> {
    let row = sqlx::query!(
        r#"UPDATE payments SET attempts = attempts + 1, updated_at = now(),
               next_attempt_at = now() + make_interval(secs => $1)
           WHERE id = (
               SELECT id FROM payments
               WHERE status IN ('pending', 'requires_action')
                 AND (next_attempt_at <= now() OR next_attempt_at > now() + interval '2 min')
                 AND provider <> ALL($2)
               ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING id, order_id, user_id, amount, currency, provider, customer, token,
               provider_reference, confirmed, attempts, traceparent,
               extract(epoch FROM now() - given_up_at)::float8 AS given_up,
               extract(epoch FROM now() - created_at)::float8 AS "age!""#,
        lease.as_secs_f64(),
        busy,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let stage = match (row.token, row.provider_reference) {
            (Some(token), _) => Stage::Charge(token.try_into().map_err(decode)?),
            (None, reference) => Stage::Waiting {
                reference: reference.unwrap_or_default(),
                confirmed: row.confirmed,
            },
        };
        Ok(DueCharge {
            id: row.id.into(),
            order: row.order_id.into(),
            user: row.user_id.into(),
            amount: money(row.amount, &row.currency)?,
            provider: row.provider,
            customer: row.customer,
            stage,
            given_up: row.given_up.map(elapsed),
            age: elapsed(row.age),
            attempts: row.attempts,
            traceparent: row.traceparent,
        })
    })
    .transpose()
}

/// Ends the lease early: the payment is due again after `pause`, or at once if somebody has asked for
/// another look in the meantime.
pub async fn postpone_charge(
    connection: &mut PgConnection,
    due: &DueCharge,
    pause: Duration,
) -> Result<()> {
    sqlx::query!(
        "UPDATE payments SET next_attempt_at = CASE
             WHEN next_attempt_at <= clock_timestamp() THEN next_attempt_at
             ELSE now() + make_interval(secs => $3) END
         WHERE id = $1 AND attempts = $2 AND status IN ('pending', 'requires_action')",
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
             next_action = NULL, updated_at = now()
         WHERE id = $1 AND status IN ('pending', 'requires_action')",
        payment.uuid(),
        reference,
    );
    Ok(captured.execute(connection).await?.rows_affected() == 1)
}

/// Notes that nothing was charged; false when that was known.
pub async fn fail(connection: &mut PgConnection, payment: PaymentId, reason: &str) -> Result<bool> {
    let failed = sqlx::query!(
        "UPDATE payments SET status = 'failed', failure_reason = $2, token = NULL,
             next_action = NULL, updated_at = now()
         WHERE id = $1 AND status IN ('pending', 'requires_action')",
        payment.uuid(),
        reason,
    );
    Ok(failed.execute(connection).await?.rows_affected() == 1)
}

/// Notes that the shopper has something to do, and asks the provider again after `pause`, or at
/// once if the order has ended or somebody, the shopper or a webhook, has asked for another look in
/// the meantime. False when it was known that the shopper has something to do, or when the charge
/// has ended.
pub async fn wait(
    connection: &mut PgConnection,
    due: &DueCharge,
    reference: &str,
    url: &str,
    pause: Duration,
) -> Result<bool> {
    let asked = matches!(due.stage, Stage::Waiting { confirmed: true, .. });
    // The row as it was is in RETURNING only of Postgres 18; hence the sub-select.
    let before = sqlx::query_scalar!(
        r#"UPDATE payments p
           SET status = 'requires_action', provider_reference = $2, next_action = $3, token = NULL,
               confirmed = p.confirmed AND NOT $4, updated_at = now(),
               next_attempt_at = CASE
                   WHEN p.given_up_at IS NOT NULL THEN now()
                   WHEN p.next_attempt_at <= clock_timestamp() THEN p.next_attempt_at
                   ELSE now() + make_interval(secs => $5) END
           FROM (SELECT id, status FROM payments WHERE id = $1 FOR UPDATE) before
           WHERE p.id = before.id AND before.status IN ('pending', 'requires_action')
           RETURNING before.status AS "status: Status""#,
        due.id.uuid(),
        reference,
        url,
        asked,
        pause.as_secs_f64(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(before == Some(Status::Pending))
}

/// The shopper says that what the provider waits for is done. False when nothing waits.
pub async fn confirm(connection: &mut PgConnection, order: OrderId) -> Result<bool> {
    let noted = sqlx::query!(
        "UPDATE payments SET confirmed = true, next_attempt_at = now(), updated_at = now()
         WHERE order_id = $1 AND status = 'requires_action'",
        order.uuid(),
    );
    Ok(noted.execute(connection).await?.rows_affected() == 1)
}

/// The order has ended: what has not been charged is not to be. A charge that is under way is not
/// disturbed; whatever becomes of it is seen to. False when there is nothing to give up.
pub async fn give_up(connection: &mut PgConnection, order: OrderId) -> Result<bool> {
    let noted = sqlx::query!(
        "UPDATE payments SET given_up_at = coalesce(given_up_at, now()), updated_at = now(),
             next_attempt_at = CASE status WHEN 'pending' THEN next_attempt_at ELSE now() END
         WHERE order_id = $1 AND status IN ('pending', 'requires_action')",
        order.uuid(),
    );
    Ok(noted.execute(connection).await?.rows_affected() == 1)
}
