//! What is published of refunds that staff requests, before they are done.

use contracts::events::PaymentRefundRequested;
use contracts::{EventId, OrderId, UserId};
use kit::auth::Role;
use kit::testing::{Running, eventually};
use kit::worker::Wake;
use payment::Payment;
use serde_json::json;
use uuid::Uuid;

use crate::world::{eur, handle, quiet, refund, reserved, send, told, totals, until, worker};

/// Staff gives back so much of a captured payment.
async fn give_back(running: &Running, order: OrderId, amount: i64, otherwise: bool) {
    let path = format!("/api/v1/payments/{order}/refunds");
    let body = json!({ "amount": eur(amount), "reason": "it broke", "by_other_means": otherwise });
    let request = running.request_as(UserId::new(), &[Role::Admin], "POST", &path);
    let key = EventId::new().to_string();
    let (status, answer) = send(request.header("idempotency-key", key).json(&body)).await;
    assert_eq!(status, 202, "{answer}");
}

#[tokio::test]
async fn money_that_goes_back_by_other_means_is_added_to_what_is_under_way() {
    let running = Running::start::<Payment>(&[]).await;
    let order = reserved("tok_visa", 100);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "captured").await;
    // The provider does not answer meanwhile.
    let mut silence = running.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE test_provider.refunds").execute(&mut *silence).await.unwrap();
    give_back(&running, order.order_id, 40, false).await;
    give_back(&running, order.order_id, 60, true).await;
    let of_the_rest = |event: &PaymentRefundRequested| event.amount == eur(60);
    let requested = running.published_where(order.order_id.uuid(), of_the_rest).await;
    assert_eq!(requested.requested_total, eur(100));
    silence.rollback().await.unwrap();
}

#[tokio::test]
async fn what_goes_back_instead_of_what_is_owed_is_counted_once() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, order) = (running.pool(), reserved("tok_visa", 100));
    running.publish(&order).await;
    until(pool, order.order_id, "captured").await;
    // The provider refuses whatever it is asked for.
    sqlx::query("UPDATE test_provider.charges SET amount = 0").execute(pool).await.unwrap();
    give_back(&running, order.order_id, 40, false).await;
    eventually("the refund has failed", async || {
        let failed = sqlx::query("SELECT FROM refunds WHERE status = 'failed'");
        failed.fetch_optional(pool).await.unwrap()
    })
    .await;
    give_back(&running, order.order_id, 60, true).await;
    let of_the_rest = |event: &PaymentRefundRequested| event.amount == eur(60);
    let requested = running.published_where(order.order_id.uuid(), of_the_rest).await;
    assert_eq!(requested.requested_total, eur(60), "it may be shipped: 40 were paid");
}

/// A release before the event has stored them, or does so while this one is rolled out.
#[tokio::test]
async fn refunds_of_the_release_before_are_published_while_they_are_not_done() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 100);
    handle(&pool, &order).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    for (amount, status) in [(30, "pending"), (20, "failed"), (10, "done")] {
        sqlx::query(
            "WITH refund AS (
                 INSERT INTO refunds (id, payment_id, amount, status, reason, requested_by,
                     failure_reason, provider_reference, next_attempt_at)
                 SELECT $1, id, $2, $3, 'it broke', $1, CASE $3 WHEN 'failed' THEN 'away' END,
                     CASE $3 WHEN 'done' THEN 're_1' END, now() + interval '1 min'
                 FROM payments)
             UPDATE payments SET refunded = refunded + CASE $3 WHEN 'failed' THEN 0 ELSE $2 END",
        )
        .bind(Uuid::now_v7())
        .bind(amount)
        .bind(status)
        .execute(&pool)
        .await
        .unwrap();
    }
    // One that the order has asked for it knows.
    handle(&pool, &refund(&order, 5)).await.unwrap();
    let wake = Wake::default();
    while worker(&pool).reopen(&wake).await.unwrap() > 0 {}
    assert_eq!(told(&pool, order.order_id, "payment.refund_requested").await, 2);
    let totals = totals(&pool, "payment.refund_requested", "requested_total").await;
    assert_eq!(totals, [65, 65], "done, under way or owed");
    // A pod of the order's release before may have ignored it.
    let due = "UPDATE refunds SET next_attempt_at = now() WHERE status = 'failed'";
    sqlx::query(due).execute(&pool).await.unwrap();
    while worker(&pool).reopen(&wake).await.unwrap() > 0 {}
    assert_eq!(told(&pool, order.order_id, "payment.refund_requested").await, 3);
}
