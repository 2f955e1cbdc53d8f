//! Charges, through Kafka.

use contracts::EventId;
use contracts::events::{PaymentCaptured, PaymentFailed};
use contracts::topics::Aggregate;
use kit::testing::{Running, eventually};
use payment::Payment;

use crate::world::{charged, eur, reserved, told, until};

#[tokio::test]
async fn an_order_is_charged_what_it_costs() {
    let running = Running::start::<Payment>(&[]).await;
    let order = reserved("tok_visa", 1999);
    running.publish(&order).await;
    let captured: PaymentCaptured = running.published(order.order_id.uuid()).await;
    assert_eq!(captured.amount, eur(1999));
    assert_eq!(charged(running.pool()).await, (1999, 1));
    let left: (Option<String>,) =
        sqlx::query_as("SELECT token FROM payments").fetch_one(running.pool()).await.unwrap();
    assert_eq!(left.0, None, "the token is not kept");
    let metrics = running.metrics().await;
    assert!(metrics.contains(r#"payments_total{outcome="captured",provider="test"}"#), "{metrics}");
    assert!(metrics.contains("payment_provider_call_duration_seconds_count{"), "{metrics}");
}

#[tokio::test]
async fn a_refused_charge_fails_with_its_reason() {
    let running = Running::start::<Payment>(&[]).await;
    for (token, reason) in [
        ("tok_declined", "card_declined"),
        ("tok_insufficient", "insufficient_funds"),
        ("tok_whatever", "invalid_token"),
        ("", "invalid_token"),
        ("tok\0", "invalid_token"),
    ] {
        let order = reserved(token, 500);
        running.publish(&order).await;
        let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
        assert_eq!(failed.reason, reason, "{token:?}");
    }
    assert_eq!(charged(running.pool()).await, (0, 0));
}

#[tokio::test]
async fn a_card_number_is_refused_and_not_stored() {
    let running = Running::start::<Payment>(&[]).await;
    let order = reserved("4111111111111111", 500);
    running.publish(&order).await;
    let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
    assert_eq!(failed.reason, "invalid_token");
    let asked = "SELECT count(*) FROM test_provider.charges";
    let asked: i64 = sqlx::query_scalar(asked).fetch_one(running.pool()).await.unwrap();
    assert_eq!(asked, 0, "the provider was not asked");
    let stored = "SELECT count(*) FROM (
                      SELECT payments::text FROM payments UNION ALL SELECT outbox::text FROM outbox
                  ) AS row (text) WHERE text LIKE '%4111111111111111%'";
    let stored: i64 = sqlx::query_scalar(stored).fetch_one(running.pool()).await.unwrap();
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn a_charge_of_unknown_outcome_is_found_and_not_repeated() {
    let running = Running::start::<Payment>(&[]).await;
    let order = reserved("tok_timeout", 700);
    running.publish(&order).await;
    let captured: PaymentCaptured = running.published(order.order_id.uuid()).await;
    assert_eq!(captured.amount, eur(700));
    assert_eq!(charged(running.pool()).await, (700, 1));
    assert_eq!(told(running.pool(), order.order_id, "payment.captured").await, 1);
    let attempts: (i32,) =
        sqlx::query_as("SELECT attempts FROM payments").fetch_one(running.pool()).await.unwrap();
    assert_eq!(attempts.0, 2, "the first attempt timed out");
}

#[tokio::test]
async fn the_same_event_twice_charges_once() {
    let running = Running::start::<Payment>(&[]).await;
    let pool = running.pool();
    let order = reserved("tok_visa", 300);
    let id = EventId::new();
    running.publish_as(id, &order).await;
    running.publish_as(id, &order).await;
    // As a producer might that repeats itself under another id.
    running.publish(&order).await;
    eventually("both ids are noted", async || {
        let noted: i64 =
            sqlx::query_scalar("SELECT count(*) FROM inbox").fetch_one(pool).await.ok()?;
        (noted == 2).then_some(())
    })
    .await;
    until(pool, order.order_id, "captured").await;
    assert_eq!(charged(pool).await, (300, 1));
    assert_eq!(told(pool, order.order_id, "payment.captured").await, 1);
}

#[tokio::test]
async fn an_amount_below_nothing_blocks_nobody() {
    let running = Running::start::<Payment>(&[]).await;
    let (bad, good) = (reserved("tok_visa", -1), reserved("tok_visa", i64::MAX));
    let id = running.publish(&bad).await;
    running.publish(&good).await;
    until(running.pool(), good.order_id, "captured").await;
    running.buried(Aggregate::Order, id).await;
    assert_eq!(charged(running.pool()).await, (i64::MAX, 1));
}
