//! Money that is to go back and has not: refunds that wait for an answer, and those that have failed.

use chrono::{DateTime, Utc};
use contracts::{Money, OrderId, PaymentId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Asked, Result, money};

/// The reference of money that went back without the provider.
const OTHER_MEANS: &str = "other_means";

/// Why a refund has failed whose provider the shop does not have.
pub const NOT_CONFIGURED: &str = "provider_not_configured";

/// Minor units of a payment whose refund has failed and is tried again.
pub async fn owed(connection: &mut PgConnection, payment: Uuid) -> Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(sum(amount), 0)::bigint AS "owed!" FROM refunds
           WHERE payment_id = $1 AND status = 'failed' AND owed"#,
        payment,
    )
    .fetch_one(connection)
    .await
}

/// Makes one refund pending again that has failed and is due, with another key for the provider. It is for no more than
/// is left of the payment: the rest went back in another way. One that is due later than after the longest pause is due:
/// the database's clock was set back. One whose provider is not configured is due when it is, and keeps its key: no
/// provider has answered. Its request is published again. Says whether there was one.
pub async fn reopen_refund(pool: &PgPool, configured: &[String]) -> Result<bool> {
    let mut tx = pool.begin().await?;
    let due = sqlx::query!(
        r#"SELECT r.id, r.payment_id, least(r.amount, p.amount - p.refunded) AS "amount!"
           FROM refunds r JOIN payments p ON p.id = r.payment_id
           WHERE r.status = 'failed' AND r.owed
             AND CASE WHEN r.failure_reason = $1 THEN p.provider = ANY($2)
                 ELSE r.next_attempt_at <= now() OR r.next_attempt_at > now() + interval '13 hours'
                 END
           ORDER BY r.next_attempt_at LIMIT 1 FOR UPDATE OF r, p SKIP LOCKED"#,
        NOT_CONFIGURED,
        configured,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(due) = due else { return Ok(false) };
    if due.amount > 0 {
        sqlx::query!(
            "UPDATE payments SET refunded = refunded + $2, updated_at = now() WHERE id = $1",
            due.payment_id,
            due.amount,
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "UPDATE refunds SET status = 'pending', failure_reason = NULL, amount = $2,
                 provider_key = CASE failure_reason WHEN $4 THEN provider_key ELSE $3 END,
                 next_attempt_at = now(), updated_at = now(), request_published = false
             WHERE id = $1",
            due.id,
            due.amount,
            Uuid::now_v7(),
            NOT_CONFIGURED,
        )
        .execute(&mut *tx)
        .await?;
    } else {
        sqlx::query!("UPDATE refunds SET owed = false, updated_at = now() WHERE id = $1", due.id)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Stores that an amount of a locked payment went back without the provider.
pub async fn refund_otherwise(
    connection: &mut PgConnection,
    refund: (PaymentId, Money),
    asked: Asked<'_>,
) -> Result<Money> {
    record_refund(connection, refund, asked, OTHER_MEANS).await
}

/// Stores that an amount of a locked payment went back, and takes it off what is owed of it, the oldest first. Says how
/// much went back in all.
pub async fn record_refund(
    connection: &mut PgConnection,
    (payment, amount): (PaymentId, Money),
    asked: Asked<'_>,
    reference: &str,
) -> Result<Money> {
    super::request_refund(connection, payment.uuid(), amount.amount, asked).await?;
    sqlx::query!(
        "UPDATE refunds SET status = 'done', provider_reference = $2 WHERE id = $1",
        asked.id.uuid(),
        reference,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE refunds r SET owed = up_to > $2, updated_at = now(),
             amount = CASE WHEN up_to > $2 THEN least(r.amount, up_to - $2) ELSE r.amount END
         FROM (SELECT id, sum(amount) OVER (ORDER BY created_at, id)::bigint AS up_to
               FROM refunds WHERE payment_id = $1 AND status = 'failed' AND owed) o
         WHERE r.id = o.id",
        payment.uuid(),
        amount.amount,
    )
    .execute(&mut *connection)
    .await?;
    super::refunded_total(connection, payment, amount.currency).await
}

/// A refund that is not done.
#[derive(Clone, Debug)]
pub struct Owed {
    /// The refund.
    pub id: Uuid,
    /// The order.
    pub order: OrderId,
    /// What is to go back.
    pub amount: Money,
    /// Who is to give it back.
    pub provider: String,
    /// Why the last attempt has failed; none: it has not.
    pub failure_reason: Option<String>,
    /// How often it has failed.
    pub retries: i32,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it is tried again.
    pub next_attempt_at: DateTime<Utc>,
}

/// Every refund that is not done, the oldest first.
pub async fn owed_refunds(connection: &mut PgConnection) -> Result<Vec<Owed>> {
    let rows = sqlx::query!(
        "SELECT r.id, order_id, r.amount, currency, provider, r.failure_reason, r.retries,
             r.created_at, r.next_attempt_at
         FROM refunds r JOIN payments p ON p.id = r.payment_id
         WHERE r.status = 'pending' OR (r.status = 'failed' AND r.owed)
         ORDER BY r.created_at, r.id",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Owed {
                id: row.id,
                order: row.order_id.into(),
                amount: money(row.amount, &row.currency)?,
                provider: row.provider,
                failure_reason: row.failure_reason,
                retries: row.retries,
                created_at: row.created_at,
                next_attempt_at: row.next_attempt_at,
            })
        })
        .collect()
}

/// How many refunds are not done, and the age of the oldest in seconds.
pub async fn owed_figures(connection: &mut PgConnection) -> Result<(i64, f64)> {
    let figures = sqlx::query!(
        r#"SELECT count(*) AS "count!",
                  coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS "age!"
           FROM refunds WHERE status = 'pending' OR (status = 'failed' AND owed)"#,
    )
    .fetch_one(connection)
    .await?;
    Ok((figures.count, figures.age))
}

/// The providers, other than the configured ones, that charges or refunds wait for, each with the age of the oldest in
/// seconds.
pub async fn oldest_without_provider(
    connection: &mut PgConnection,
    configured: &[String],
) -> Result<Vec<(String, f64)>> {
    let rows = sqlx::query!(
        r#"SELECT provider AS "provider!",
               greatest(extract(epoch FROM now() - min(since)), 0)::float8 AS "age!"
           FROM (
               SELECT provider, created_at AS since FROM payments
               WHERE status IN ('pending', 'requires_action')
               UNION ALL
               SELECT provider, r.created_at FROM refunds r JOIN payments p ON p.id = r.payment_id
               WHERE r.status = 'pending' OR (r.status = 'failed' AND r.owed)
           ) waiting
           WHERE provider <> ALL($1) GROUP BY provider"#,
        configured,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.provider, row.age)).collect())
}

/// Lets every refund that its provider has refused be tried again now; says how many there are.
pub async fn retry_refunds(connection: &mut PgConnection) -> Result<u64> {
    let due = sqlx::query!(
        "UPDATE refunds SET next_attempt_at = now()
         WHERE status = 'failed' AND owed AND failure_reason <> $1",
        NOT_CONFIGURED,
    );
    Ok(due.execute(connection).await?.rows_affected())
}
