//! What a provider knows and a shop that was restored from a backup does not.

use chrono::{DateTime, Utc};
use contracts::{EventId, Money, OrderId, PaymentId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Asked, Result, money};
use crate::payment::Status;
use crate::provider::{BookedCharge, BookedRefund};

/// What is known of a charge in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charged {
    /// Its payment is captured by it.
    Known,
    /// Its payment was not captured, and is from now on.
    Captured {
        /// The payment's order.
        order: OrderId,
        /// What was captured.
        amount: Money,
    },
    /// Its payment is captured by another charge, or is of another amount.
    Second,
    /// There is no such payment.
    Unknown,
}

/// Compares a charge that was captured with its payment, and takes it over if the payment has none.
pub async fn charge(
    connection: &mut PgConnection,
    provider: &str,
    booked: &BookedCharge,
) -> Result<Charged> {
    let payment = sqlx::query!(
        r#"SELECT order_id, amount, currency, status AS "status: Status", provider_reference
           FROM payments WHERE id = $1 AND provider = $2 FOR UPDATE"#,
        booked.key,
        provider,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(payment) = payment else { return Ok(Charged::Unknown) };
    let amount = money(payment.amount, &payment.currency)?;
    if payment.status == Status::Captured {
        let known = payment.provider_reference.as_deref() == Some(&booked.reference);
        return Ok(if known { Charged::Known } else { Charged::Second });
    }
    if amount != booked.amount {
        return Ok(Charged::Second);
    }
    sqlx::query!(
        "UPDATE payments SET status = 'captured', provider_reference = $2, failure_reason = NULL,
             token = NULL, next_action = NULL, updated_at = now()
         WHERE id = $1",
        booked.key,
        booked.reference,
    )
    .execute(connection)
    .await?;
    Ok(Charged::Captured { order: payment.order_id.into(), amount })
}

/// Whether there is a payment of this id.
pub async fn is_known(connection: &mut PgConnection, payment: Uuid) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM payments WHERE id = $1) AS "known!""#,
        payment,
    )
    .fetch_one(connection)
    .await
}

/// What is known of a refund in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refunded {
    /// It is known or about to be, or of no payment of the shop's.
    Known,
    /// It is known from now on.
    Recorded {
        /// The payment's order.
        order: OrderId,
        /// The payment.
        payment: PaymentId,
        /// What went back of the payment in all.
        total: Money,
    },
    /// Refunds that are under way have to end first: together they are more than the payment.
    Busy {
        /// The payment's order.
        order: OrderId,
    },
}

/// Compares a refund with those of its payment, and takes it over if it is none of them.
pub async fn refund(
    connection: &mut PgConnection,
    provider: &str,
    booked: &BookedRefund,
) -> Result<Refunded> {
    let payment = sqlx::query!(
        "SELECT id, order_id, currency, amount - refunded AS \"left!\" FROM payments
         WHERE provider = $1 AND provider_reference = $2 AND status = 'captured' FOR UPDATE",
        provider,
        booked.charge,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let ours = payment.filter(|payment| payment.currency == booked.amount.currency.as_str());
    let Some(payment) = ours else { return Ok(Refunded::Known) };
    // A worker that has asked for it stores the answer, or finds it the next time.
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM refunds WHERE payment_id = $1 AND (provider_reference = $2
                   OR status = 'pending' AND coalesce(provider_key, id) = $3)) AS "known!""#,
        payment.id,
        booked.reference,
        booked.key,
    )
    .fetch_one(&mut *connection)
    .await?;
    if known {
        return Ok(Refunded::Known);
    }
    let (order, id) = (payment.order_id.into(), payment.id.into());
    if booked.amount.amount > payment.left {
        return Ok(Refunded::Busy { order });
    }
    let asked = Asked { id: EventId::new(), by_staff: None, traceparent: None };
    let refund = (id, booked.amount);
    let total = super::record_refund(connection, refund, asked, &booked.reference).await?;
    Ok(Refunded::Recorded { order, payment: id, total })
}

/// A payment that has ended, nothing of which has to go back.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The payment.
    pub payment: PaymentId,
    /// Its order.
    pub order: OrderId,
    /// What was captured; none: the payment has failed.
    pub captured: Option<Money>,
    /// Why it has failed.
    pub failure_reason: Option<String>,
}

/// The next payments after this one that have ended and have no refunds, by id.
pub async fn outcomes(
    connection: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Outcome>> {
    let rows = sqlx::query!(
        r#"SELECT id, order_id, amount, currency, status AS "status: Status", failure_reason
           FROM payments p
           WHERE id > $1 AND status IN ('captured', 'failed')
             AND NOT EXISTS (SELECT FROM refunds WHERE payment_id = p.id)
           ORDER BY id LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let outcomes = rows.into_iter().map(|row| {
        let amount = money(row.amount, &row.currency)?;
        Ok(Outcome {
            payment: row.id.into(),
            order: row.order_id.into(),
            captured: (row.status == Status::Captured).then_some(amount),
            failure_reason: row.failure_reason,
        })
    });
    outcomes.collect()
}

/// An id that is less than that of any payment that was made since then.
pub fn first_id(since: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(since.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
