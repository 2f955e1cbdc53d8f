//! What the tests share: orders, payments, and how to look at them.

use contracts::events::{CancelReason, Event, OrderCancelled, OrderRefundRequested, OrderReserved};
use contracts::{Currency, EventId, Money, OrderId, UserId};
use kit::inbox::{Delivery, Handle};
use kit::outbox::Outbox;
use kit::subscription::HandlerError;
use kit::testing::{Running, eventually};
use payment::Payment;
use payment::events::Orders;
use payment::provider::{CreditProvider, Providers, TestProvider};
use payment::worker::Worker;
use serde_json::Value;
use sqlx::PgPool;

pub(crate) fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

pub(crate) fn reserved(token: &str, amount: i64) -> OrderReserved {
    OrderReserved {
        order_id: OrderId::new(),
        user_id: UserId::new(),
        total: eur(amount),
        payment_token: token.to_owned(),
    }
}

pub(crate) fn refund(order: &OrderReserved, amount: i64) -> OrderRefundRequested {
    let (order_id, user_id) = (order.order_id, order.user_id);
    OrderRefundRequested { order_id, user_id, amount: eur(amount) }
}

/// The shopper gives the order up.
pub(crate) fn cancelled(order: &OrderReserved) -> OrderCancelled {
    let (order_id, user_id) = (order.order_id, order.user_id);
    OrderCancelled { order_id, user_id, reason: CancelReason::ByCustomer }
}

/// A database with the schema of payment, and nobody at work on it.
pub(crate) async fn quiet() -> PgPool {
    let running = Running::start::<Payment>(&[]).await;
    let pool = running.pool().clone();
    running.stop().await.unwrap();
    pool
}

/// The provider `test`.
pub(crate) fn test_provider(pool: &PgPool) -> TestProvider {
    TestProvider::new(pool.clone(), "http://shop.test")
}

fn providers(pool: &PgPool) -> Providers {
    Providers::default().with(test_provider(pool)).with(CreditProvider::new(pool.clone()))
}

/// A worker with the providers that every shop has.
pub(crate) fn worker(pool: &PgPool) -> Worker {
    Worker { pool: pool.clone(), outbox: Outbox::default(), providers: providers(pool) }
}

/// Handles an event in a transaction of its own, as the inbox would.
pub(crate) async fn handle<E>(pool: &PgPool, event: &E) -> Result<(), HandlerError>
where
    E: Event + Clone,
    Orders: Handle<E>,
{
    let mut tx = pool.begin().await.unwrap();
    let delivery = Delivery { id: EventId::new(), time: chrono::Utc::now(), event: event.clone() };
    let orders = Orders { providers: providers(pool), ..Orders::default() };
    orders.handle(&mut tx, &delivery).await?;
    tx.commit().await.unwrap();
    Ok(())
}

/// The state of an order's payment.
pub(crate) async fn status(pool: &PgPool, order: OrderId) -> Option<String> {
    sqlx::query_scalar("SELECT status FROM payments WHERE order_id = $1")
        .bind(order.uuid())
        .fetch_optional(pool)
        .await
        .unwrap()
}

/// Waits until an order's payment is in a state.
pub(crate) async fn until(pool: &PgPool, order: OrderId, wanted: &str) {
    eventually(&format!("the payment is {wanted}"), async || {
        (status(pool, order).await.as_deref() == Some(wanted)).then_some(())
    })
    .await;
}

/// What the provider has charged in all, and how often.
pub(crate) async fn charged(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as(
        "SELECT coalesce(sum(amount), 0)::bigint, count(*) FROM test_provider.charges
         WHERE reference IS NOT NULL",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// What the provider has given back in all, and how often.
pub(crate) async fn given_back(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as("SELECT coalesce(sum(amount), 0)::bigint, count(*) FROM test_provider.refunds")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// The shopper has done at the provider's what it waits for; nobody here knows.
pub(crate) async fn done_at_the_provider(pool: &PgPool) {
    let done = "UPDATE test_provider.charges SET reference = 'ch_' || idempotency_key
                WHERE reference IS NULL";
    sqlx::query(done).execute(pool).await.unwrap();
}

/// How many events of this type payment has told about the order.
pub(crate) async fn told(pool: &PgPool, order: OrderId, event: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outbox WHERE aggregate_id = $1 AND type = $2")
        .bind(order.uuid())
        .bind(format!("io.shop-operator.{event}.v1"))
        .fetch_one(pool)
        .await
        .unwrap()
}

/// The amounts that events of this type carry in a field.
pub(crate) async fn totals(pool: &PgPool, event: &str, field: &str) -> Vec<i64> {
    sqlx::query_scalar(
        "SELECT (payload #>> ARRAY[$2, 'amount'])::bigint FROM outbox WHERE type = $1 ORDER BY seq",
    )
    .bind(format!("io.shop-operator.{event}.v1"))
    .bind(field)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// A request with a JSON body; returns status and body.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}
