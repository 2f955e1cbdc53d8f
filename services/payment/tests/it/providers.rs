//! What becomes of payments whose provider takes no new charges, or is not configured any more.

use contracts::UserId;
use contracts::events::{PaymentFailed, PaymentRefunded};
use kit::auth::Role;
use kit::outbox::Outbox;
use kit::testing::{Running, engine, eventually};
use payment::Payment;
use payment::provider::Providers;
use payment::worker::Worker;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::owed::staff;
use crate::second_step::died_asking;
use crate::world::{
    charged, eur, given_back, handle, quiet, refund, reserved, send, status, test_provider, told,
    until,
};

/// From now on the shop has Stripe, and says nothing of the test provider.
async fn turn_stripe_on(running: &mut Running) {
    let url = engine("TEST_STRIPE_URL");
    let stripe = [("STRIPE_API_KEY", "sk_test_123"), ("STRIPE_API_URL", &*url)];
    running.restart::<Payment>(&stripe).await;
}

/// From now on it has no Stripe, and hence the test provider.
async fn turn_stripe_off(running: &mut Running) {
    running.restart::<Payment>(&[("STRIPE_API_KEY", "")]).await;
}

async fn save(running: &Running, user: UserId, token: &str) -> (u16, Value) {
    let save = running.request_as(user, &[Role::Customer], "POST", "/api/v1/payment-methods");
    send(save.json(&json!({ "token": token }))).await
}

#[tokio::test]
async fn beside_stripe_the_test_provider_refunds_and_charges_nothing_new() {
    let mut running = Running::start::<Payment>(&[]).await;
    let order = reserved("tok_visa", 1000);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "captured").await;
    let (saved, method) = save(&running, order.user_id, "tok_visa").await;
    assert_eq!(saved, 201, "{method}");

    turn_stripe_on(&mut running).await;
    running.publish(&refund(&order, 1000)).await;
    let refunded: PaymentRefunded = running.published(order.order_id.uuid()).await;
    assert_eq!(refunded.refunded_total, Some(eur(1000)));
    assert_eq!(given_back(running.pool()).await, (1000, 1));

    for token in ["tok_visa", method["payment_token"].as_str().unwrap(), "method_default"] {
        let mut another = reserved(token, 5);
        another.user_id = order.user_id;
        running.publish(&another).await;
        let failed: PaymentFailed = running.published(another.order_id.uuid()).await;
        assert_eq!(failed.reason, "invalid_token", "{token}");
    }
    let (refused, problem) = save(&running, UserId::new(), "tok_visa").await;
    assert_eq!((refused, &problem["errors"][0]["pointer"]), (422, &json!("/token")), "{problem}");
    assert_eq!(charged(running.pool()).await, (1000, 1));
}

#[tokio::test]
async fn a_second_step_of_the_test_provider_ends_when_stripe_is_turned_on() {
    let mut running = Running::start::<Payment>(&[]).await;
    let order = reserved("tok_action", 10);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "requires_action").await;
    turn_stripe_on(&mut running).await;
    // Its shopper cannot have it charged any more.
    let path = format!("/api/v1/payments/{}/confirm", order.order_id);
    let confirm = running.request_as(order.user_id, &[Role::Customer], "POST", &path);
    assert!([202, 409].contains(&send(confirm).await.0));
    let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
    assert_eq!(failed.reason, "invalid_token");
    assert_eq!(charged(running.pool()).await, (0, 0));
}

/// A worker of a shop whose test provider takes no new charges.
fn closed(pool: &PgPool) -> Worker {
    let providers = Providers::default().with_closed(test_provider(pool));
    Worker { pool: pool.clone(), outbox: Outbox::default(), providers }
}

#[tokio::test]
async fn a_charge_that_a_closed_provider_has_not_made_fails() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 10);
    handle(&pool, &order).await.unwrap();
    assert_eq!(closed(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("failed"));
    assert_eq!(told(&pool, order.order_id, "payment.failed").await, 1);
    assert_eq!(charged(&pool).await, (0, 0));
}

#[tokio::test]
async fn a_charge_that_a_provider_made_before_it_was_closed_is_captured() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 10);
    handle(&pool, &order).await.unwrap();
    died_asking(&pool, &order).await;
    assert_eq!(closed(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("captured"));
    assert_eq!(charged(&pool).await, (10, 1));
}

/// The only refund once it has failed, as staff see it.
async fn failed_refund(running: &Running, order: contracts::OrderId) -> Value {
    eventually("the refund has failed", async || {
        let path = format!("/api/v1/payments/{order}");
        let show = running.request_as(UserId::new(), &[Role::Admin], "GET", &path);
        let (_, payment) = send(show).await;
        let refund = payment["refunds"][0].clone();
        (refund["status"] == "failed").then_some(refund)
    })
    .await
}

/// An order that Stripe was paid by, in a shop that has no Stripe any more, and its refund.
async fn owed_by_stripe() -> (Running, contracts::OrderId) {
    let mut running = Running::start::<Payment>(&[]).await;
    turn_stripe_on(&mut running).await;
    let order = reserved("pm_card_visa", 1999);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "captured").await;
    turn_stripe_off(&mut running).await;
    running.publish(&refund(&order, 1999)).await;
    let refund = failed_refund(&running, order.order_id).await;
    assert_eq!(refund["failure_reason"], "provider_not_configured", "{refund}");
    assert_eq!(refund["retry_at"], Value::Null, "{refund}");
    (running, order.order_id)
}

#[tokio::test]
async fn a_refund_without_its_provider_goes_back_by_other_means() {
    let (running, order) = owed_by_stripe().await;
    eventually("the metric names the provider", async || {
        let metrics = running.metrics().await;
        let mut lines = metrics.lines();
        let named = "payment_provider_missing_oldest_seconds{provider=\"stripe\"} ";
        let age = lines.find_map(|line| line.strip_prefix(named))?.parse::<f64>().ok()?;
        (age > 0.0).then_some(())
    })
    .await;
    let listed = running.command::<Payment>("refunds").await.unwrap();
    assert!(listed.contains("19.99 EUR by stripe"), "{listed}");
    assert!(listed.contains("(provider_not_configured)"), "{listed}");
    let (refused, _) = send(staff(&running, order, (1999, false))).await;
    assert_eq!(refused, 422, "it is owed already");

    let (taken, done) = send(staff(&running, order, (1999, true))).await;
    assert_eq!((taken, &done["status"]), (202, &json!("done")), "{done}");
    let refunded: PaymentRefunded = running.published(order.uuid()).await;
    assert_eq!(refunded.refunded_total, Some(eur(1999)));
    assert_eq!(running.command::<Payment>("refunds").await.unwrap(), "0 refunds are owed");
}

#[tokio::test]
async fn a_refund_without_its_provider_is_made_when_that_is_back() {
    let (mut running, order) = owed_by_stripe().await;
    let retried = running.command::<Payment>("retry-refunds").await.unwrap();
    assert_eq!(retried, "0 refunds are tried again", "there is none to ask");
    turn_stripe_on(&mut running).await;
    let refunded: PaymentRefunded = running.published(order.uuid()).await;
    assert_eq!(refunded.refunded_total, Some(eur(1999)));
    let keys: Vec<Option<uuid::Uuid>> = sqlx::query_scalar("SELECT provider_key FROM refunds")
        .fetch_all(running.pool())
        .await
        .unwrap();
    assert_eq!(keys, [None], "an attempt of before may have been made with this key");
}
