//! Refunds that staff has requested, and of which the order is to know before they are done.

use contracts::events::PaymentRefundRequested;
use sqlx::PgConnection;

use super::{Result, money};

/// Takes a refund of staff's that is not done and was not published: a release that knows no such event has stored it. What
/// of its payment has gone back or is to becomes never less, so they may be published in any order.
pub async fn unpublished_request(
    connection: &mut PgConnection,
) -> Result<Option<PaymentRefundRequested>> {
    let row = sqlx::query!(
        r#"UPDATE refunds r SET request_published = true FROM payments p
           WHERE p.id = r.payment_id AND r.id = (
               SELECT id FROM refunds
               WHERE NOT request_published AND requested_by IS NOT NULL AND status <> 'done'
                 AND (status = 'pending' OR owed)
               ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING order_id, payment_id, r.amount, currency,
               p.refunded + (SELECT coalesce(sum(o.amount), 0)::bigint FROM refunds o
                             WHERE o.payment_id = p.id AND o.status = 'failed' AND o.owed)
                   AS "total!""#,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(PaymentRefundRequested {
            order_id: row.order_id.into(),
            payment_id: row.payment_id.into(),
            amount: money(row.amount, &row.currency)?,
            requested_total: money(row.total, &row.currency)?,
        })
    })
    .transpose()
}
