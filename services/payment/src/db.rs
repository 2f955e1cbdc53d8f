//! What payment keeps in Postgres.

mod charges;
pub mod disputes;
pub mod ledger;
pub mod methods;
mod owed;
pub mod reconciliation;
mod refunds;
mod requested;
pub mod webhooks;

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::{Money, OrderId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::payment::Status;

pub use charges::{
    DueCharge, New, Stage, capture, confirm, fail, give_up, insert, lease_charge, postpone_charge,
    wait,
};
pub use owed::{
    NOT_CONFIGURED, Owed, oldest_without_provider, owed, owed_figures, owed_refunds, record_refund,
    refund_otherwise, reopen_refund, retry_refunds,
};
use refunds::refunded_total;
pub use refunds::{
    Asked, DueRefund, Refund, fail_refund, finish_refund, insert_refund, lease_refund, owe_again,
    postpone_refund, refunds, request_refund,
};
pub use requested::unpublished_request;

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
    /// Where the shopper does what the provider waits for.
    pub next_action: Option<String>,
    /// Why nothing was charged.
    pub failure_reason: Option<String>,
    /// Minor units that went back or are on their way.
    pub refunded: i64,
    /// When the order was ready to be paid.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

fn decode<E: std::error::Error + Send + Sync + 'static>(error: E) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// Seconds of the database's clock, which may have been set back meanwhile.
fn elapsed(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.max(0.0))
}

fn money(amount: i64, currency: &str) -> Result<Money> {
    Ok(Money::new(amount, currency.parse().map_err(decode)?))
}

/// The payment of an order.
pub async fn find(connection: &mut PgConnection, order: OrderId) -> Result<Option<Payment>> {
    sqlx::query_as!(
        Payment,
        r#"SELECT id, order_id, user_id, amount, currency, provider, status AS "status: Status",
               next_action, failure_reason, refunded, created_at, updated_at
           FROM payments WHERE order_id = $1"#,
        order.uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// The payment of an order, locked until the transaction ends.
pub async fn lock(connection: &mut PgConnection, order: OrderId) -> Result<Option<Payment>> {
    sqlx::query_as!(
        Payment,
        r#"SELECT id, order_id, user_id, amount, currency, provider, status AS "status: Status",
               next_action, failure_reason, refunded, created_at, updated_at
           FROM payments WHERE order_id = $1 FOR UPDATE"#,
        order.uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// A page of payments, the latest first; if wanted, only those with a refund that has failed and
/// money that may still have to go back, or only those with a dispute that has not ended.
pub async fn list(
    connection: &mut PgConnection,
    (refund_failed, disputed): (bool, bool),
    window: &Window<Uuid>,
) -> Result<Vec<Payment>> {
    sqlx::query_as!(
        Payment,
        r#"SELECT id, order_id, user_id, amount, currency, provider, status AS "status: Status",
               next_action, failure_reason, refunded, created_at, updated_at
           FROM payments p WHERE ($1::uuid IS NULL OR id < $1)
             AND (NOT $4 OR (refunded < amount AND EXISTS (
                 SELECT FROM refunds WHERE payment_id = p.id AND status = 'failed')))
             AND (NOT $5 OR EXISTS (
                 SELECT FROM disputes WHERE payment_id = p.id
                   AND status NOT IN ('won', 'lost', 'warning_closed')))
           ORDER BY id DESC LIMIT $2 OFFSET $3"#,
        window.after,
        window.fetch(),
        window.offset,
        refund_failed,
        disputed,
    )
    .fetch_all(connection)
    .await
}
