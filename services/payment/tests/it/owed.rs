//! Money that is owed until it has gone back.

use contracts::events::PaymentRefunded;
use contracts::{EventId, UserId};
use kit::auth::Role;
use kit::testing::{Running, eventually};
use kit::worker::Wake;
use payment::Payment;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::world::{eur, given_back, handle, quiet, refund, reserved, send, told, until, worker};

/// What the provider's books say of the only charge: a refund of more is refused.
async fn books(pool: &PgPool, amount: i64) {
    let sql = "UPDATE test_provider.charges SET amount = $1";
    sqlx::query(sql).bind(amount).execute(pool).await.unwrap();
}

/// The pause is over.
async fn due(pool: &PgPool) {
    let sql = "UPDATE refunds SET next_attempt_at = now() WHERE status = 'failed'";
    sqlx::query(sql).execute(pool).await.unwrap();
}

async fn refunds(pool: &PgPool) -> Vec<(String, i64)> {
    let sql = "SELECT status, amount FROM refunds ORDER BY id";
    sqlx::query_as(sql).fetch_all(pool).await.unwrap()
}

async fn until_failed(pool: &PgPool) {
    eventually("the refund has failed", async || {
        refunds(pool).await.iter().any(|(status, _)| status == "failed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refund_that_fails_is_asked_for_again_until_it_is_done() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, order) = (running.pool(), reserved("tok_visa", 100));
    running.publish(&order).await;
    until(pool, order.order_id, "captured").await;
    books(pool, 40).await;
    running.publish(&refund(&order, 100)).await;
    until_failed(pool).await;
    // The order asks again: it is owed once.
    running.publish(&refund(&order, 100)).await;
    eventually("all events are processed", async || {
        let noted = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM inbox");
        (noted.fetch_one(pool).await.unwrap() == 3).then_some(())
    })
    .await;
    assert_eq!(refunds(pool).await, [("failed".to_owned(), 100)]);
    books(pool, 100).await;
    due(pool).await;
    let refunded: PaymentRefunded = running.published(order.order_id.uuid()).await;
    assert_eq!((refunded.amount, refunded.refunded_total), (eur(100), Some(eur(100))));
    assert_eq!(given_back(pool).await, (100, 1));
    eventually("nothing is owed", async || {
        let metrics = running.metrics().await;
        metrics.contains("\npayment_refunds_owed ").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_pauses_double_and_an_order_that_asks_again_changes_nothing() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 100);
    handle(&pool, &order).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    books(&pool, 40).await;
    handle(&pool, &refund(&order, 100)).await.unwrap();
    let wake = Wake::default();
    for (failures, minutes) in [(1, 5), (2, 10), (3, 20), (30, 720)] {
        let sql = "UPDATE refunds SET retries = $1 - 1";
        sqlx::query(sql).bind(failures).execute(&pool).await.unwrap();
        assert_eq!(worker(&pool).round().await.unwrap(), 1);
        let pause =
            "SELECT (extract(epoch FROM next_attempt_at - updated_at) / 60)::float8 FROM refunds";
        let pause: f64 = sqlx::query_scalar(pause).fetch_one(&pool).await.unwrap();
        assert!((pause - f64::from(minutes)).abs() < 0.01, "{pause} after {failures}");
        assert_eq!(worker(&pool).reopen(&wake).await.unwrap(), 0, "not before its time");
        handle(&pool, &refund(&order, 100)).await.unwrap();
        assert_eq!(worker(&pool).round().await.unwrap(), 0);
        due(&pool).await;
        assert_eq!(worker(&pool).reopen(&wake).await.unwrap(), 1);
    }
    books(&pool, 100).await;
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(refunds(&pool).await, [("done".to_owned(), 100)]);
    assert_eq!(given_back(&pool).await, (100, 1));
    assert_eq!(told(&pool, order.order_id, "payment.refunded").await, 1);
}

pub(crate) fn staff(
    running: &Running,
    order: contracts::OrderId,
    (amount, by_other_means): (i64, bool),
) -> reqwest::RequestBuilder {
    let path = format!("/api/v1/payments/{order}/refunds");
    running
        .request_as(UserId::new(), &[Role::Admin], "POST", &path)
        .header("idempotency-key", EventId::new().to_string())
        .json(&json!({
            "amount": eur(amount), "reason": "it broke", "by_other_means": by_other_means
        }))
}

#[tokio::test]
async fn what_is_owed_is_not_given_back_twice_and_may_go_back_by_other_means() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, order) = (running.pool(), reserved("tok_visa", 100));
    running.publish(&order).await;
    until(pool, order.order_id, "captured").await;
    books(pool, 40).await;
    running.publish(&refund(&order, 100)).await;
    until_failed(pool).await;
    let path = format!("/api/v1/payments/{}", order.order_id);
    let show = running.request_as(order.user_id, &[], "GET", &path);
    let (_, shown) = send(show).await;
    assert!(shown["refunds"][0]["retry_at"].is_string(), "{shown}");
    let (status, problem) = send(staff(&running, order.order_id, (1, false))).await;
    assert_eq!((status, &problem["type"]), (422, &json!("/problems/refund-too-large")));
    let detail = "at most 0.00 EUR is left, and 1.00 EUR is owed and tried again";
    assert_eq!(problem["detail"], detail);

    let (status, done) = send(staff(&running, order.order_id, (70, true))).await;
    assert_eq!((status, &done["status"]), (202, &json!("done")), "{done}");
    let refunded: PaymentRefunded = running.published(order.order_id.uuid()).await;
    assert_eq!((refunded.amount, refunded.refunded_total), (eur(70), Some(eur(70))));
    assert_eq!(refunds(pool).await[0], ("failed".to_owned(), 30), "the rest is owed");
    due(pool).await;
    eventually("the rest goes back", async || (given_back(pool).await == (30, 1)).then_some(()))
        .await;
    let (status, _) = send(staff(&running, order.order_id, (1, true))).await;
    assert_eq!(status, 422, "nothing is left");
}

#[tokio::test]
async fn what_went_back_in_full_by_other_means_is_owed_no_more() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, order) = (running.pool(), reserved("tok_visa", 100));
    running.publish(&order).await;
    until(pool, order.order_id, "captured").await;
    books(pool, 40).await;
    running.publish(&refund(&order, 100)).await;
    until_failed(pool).await;
    let listed = running.command::<Payment>("refunds").await.unwrap();
    assert!(listed.starts_with("1 refunds are owed\n"), "{listed}");
    for part in
        [&*order.order_id.to_string(), "1.00 EUR by test", "failed 1 times (amount_too_large)"]
    {
        assert!(listed.contains(part), "{listed}");
    }
    let (status, _) = send(staff(&running, order.order_id, (100, true))).await;
    assert_eq!(status, 202);
    assert_eq!(running.command::<Payment>("refunds").await.unwrap(), "0 refunds are owed");
    let retried = running.command::<Payment>("retry-refunds").await.unwrap();
    assert_eq!(retried, "0 refunds are tried again");
    assert_eq!(given_back(pool).await, (0, 0), "the provider hears nothing of it");
}

#[tokio::test]
async fn staff_lets_what_is_owed_be_tried_at_once() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, order) = (running.pool(), reserved("tok_visa", 100));
    running.publish(&order).await;
    until(pool, order.order_id, "captured").await;
    books(pool, 40).await;
    running.publish(&refund(&order, 100)).await;
    until_failed(pool).await;
    books(pool, 100).await;
    let retried = running.command::<Payment>("retry-refunds").await.unwrap();
    assert_eq!(retried, "1 refunds are tried again");
    running.published::<PaymentRefunded>(order.order_id.uuid()).await;
    let path = format!("/api/v1/payments/{}", order.order_id);
    let (_, shown) = send(running.request_as(order.user_id, &[], "GET", &path)).await;
    assert_eq!(shown["refunds"][0]["retry_at"], Value::Null, "{shown}");
}
