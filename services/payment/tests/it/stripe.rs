//! The provider `stripe`, against Stripe's own stand-in for its API, which checks every request
//! by the description of the real one. It keeps nothing: each charge succeeds.

use std::collections::HashMap;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use contracts::events::{PaymentCaptured, PaymentFailed, PaymentRefunded};
use contracts::{OrderId, UserId};
use http::StatusCode;
use kit::auth::Role;
use kit::secret::Secret;
use kit::testing::{Running, engine, eventually};
use payment::Payment;
use payment::payment::Token;
use payment::provider::{
    Charge, Kept, PaymentProvider, Refund, StripeProvider, StripeSettings, Wanted,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::world::{charged, eur, refund, reserved, send, status, until};

fn provider(key: &str) -> StripeProvider {
    provider_at(engine("TEST_STRIPE_URL"), key)
}

fn provider_at(url: String, key: &str) -> StripeProvider {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = Secret::new(key);
    let return_url = "https://shop.test/".to_owned();
    StripeProvider::new(StripeSettings { key, url, return_url }).unwrap()
}

/// A shop that has Stripe, and says nothing of the test provider.
async fn start(url: &str) -> Running {
    Running::start::<Payment>(&[
        ("STRIPE_API_KEY", "sk_test_123"),
        ("STRIPE_API_URL", url),
        ("STRIPE_WEBHOOK_SECRETS", "whsec_1"),
    ])
    .await
}

#[tokio::test]
async fn what_no_configured_provider_knows_is_not_charged() {
    let running = start(&engine("TEST_STRIPE_URL")).await;
    for text in ["", "tok_visa", "tok_action", "anything", "method_default"] {
        let order = reserved(text, 10);
        running.publish(&order).await;
        let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
        assert!(["invalid_token", "unknown_payment_method"].contains(&&*failed.reason), "{text}");
    }
    assert_eq!(charged(running.pool()).await, (0, 0), "the test provider is not asked");
}

#[tokio::test]
async fn beside_stripe_the_test_provider_is_asked_for_by_name() {
    let running = Running::start::<Payment>(&[
        ("STRIPE_API_KEY", "sk_test_123"),
        ("STRIPE_API_URL", &engine("TEST_STRIPE_URL")),
        ("PAYMENT_TEST_PROVIDER", "true"),
    ])
    .await;
    let order = reserved("tok_visa", 10);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "captured").await;
    assert_eq!(charged(running.pool()).await, (10, 1));
}

fn token(text: &str) -> Token {
    text.to_owned().try_into().unwrap()
}

fn wanted(customer: Option<&str>) -> Wanted {
    Wanted {
        key: Uuid::now_v7(),
        order: OrderId::new(),
        user: UserId::new(),
        amount: eur(1999),
        token: token("pm_card_visa"),
        customer: customer.map(str::to_owned),
    }
}

#[tokio::test]
async fn every_request_is_as_the_real_api_wants_it() {
    let stripe = provider("sk_test_123");
    for customer in [None, Some("cus_1")] {
        let charge = stripe.charge(&wanted(customer)).await.unwrap();
        assert!(matches!(charge, Charge::Captured { .. }), "{charge:?}");
    }
    let key = Uuid::now_v7();
    assert_eq!(stripe.find(key, None).await.unwrap(), None, "nothing it finds has the key");
    let captured = Charge::Captured { reference: "pi_1".into() };
    assert_eq!(stripe.find(key, Some("pi_1")).await.unwrap(), Some(captured.clone()));
    assert_eq!(stripe.confirm(key, "pi_1").await.unwrap(), captured);
    // The stand-in cancels nothing: the money was taken meanwhile.
    assert_eq!(stripe.cancel(key, "pi_1").await.unwrap(), captured);
    let refund = stripe.refund(key, "pi_1", eur(5)).await.unwrap();
    assert!(matches!(refund, Refund::Done { .. }), "{refund:?}");
    let kept = stripe.keep(UserId::new(), &token("pm_card_visa")).await.unwrap();
    let Some(Kept { brand, last4, customer: Some(customer) }) = kept else { panic!("{kept:?}") };
    assert_eq!((&*brand, &*last4, &customer[..4]), ("visa", "4242", "cus_"));
    stripe.forget(&token("pm_card_visa")).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_not_valid_leaves_the_outcome_unknown() {
    let stripe = provider("");
    let error = stripe.charge(&wanted(None)).await.unwrap_err();
    let told = kit::telemetry::chain(&error);
    assert!(told.contains("401"), "{told}");
    assert!(!format!("{:?}", provider("sk_live_1")).contains("sk_live"), "nobody sees the key");
}

#[tokio::test]
async fn an_order_is_charged_and_refunded_through_stripe() {
    let running = start(&engine("TEST_STRIPE_URL")).await;
    let order = reserved("pm_card_visa", 1999);
    running.publish(&order).await;
    let captured: PaymentCaptured = running.published(order.order_id.uuid()).await;
    assert_eq!(captured.amount, eur(1999));
    running.publish(&refund(&order, 1999)).await;
    let refunded: PaymentRefunded = running.published(order.order_id.uuid()).await;
    assert_eq!(refunded.refunded_total, Some(eur(1999)));
    // What is free is not sent to Stripe, which would refuse it; and this shop has no test provider.
    let (free, test) = (reserved("pm_card_visa", 0), reserved("tok_visa", 5));
    for (order, end) in [(free, "captured"), (test, "failed")] {
        running.publish(&order).await;
        until(running.pool(), order.order_id, end).await;
    }
}

#[tokio::test]
async fn a_method_is_kept_with_stripe_and_charged() {
    let running = start(&engine("TEST_STRIPE_URL")).await;
    let mut order = reserved("", 10);
    let path = "/api/v1/payment-methods";
    let save = running.request_as(order.user_id, &[Role::Customer], "POST", path);
    let (status, method) = send(save.json(&json!({ "token": "pm_card_visa" }))).await;
    assert_eq!(status, 201, "{method}");
    assert_eq!((&method["brand"], &method["last4"]), (&json!("visa"), &json!("4242")));
    order.payment_token = method["payment_token"].as_str().unwrap().to_owned();
    running.publish(&order).await;
    until(running.pool(), order.order_id, "captured").await;
    let customer: Option<String> = sqlx::query_scalar("SELECT customer FROM payments")
        .fetch_one(running.pool())
        .await
        .unwrap();
    assert!(customer.unwrap().starts_with("cus_"));
    let path = format!("{path}/{}", method["id"].as_str().unwrap());
    let remove = running.request_as(order.user_id, &[Role::Customer], "DELETE", &path);
    assert_eq!(send(remove).await.0, 204);
}

#[tokio::test]
async fn while_stripe_is_away_a_charge_waits() {
    // Nobody listens at port 1.
    let mut running = start("http://127.0.0.1:1").await;
    let order = reserved("pm_card_visa", 10);
    running.publish(&order).await;
    eventually("it was tried", async || {
        let tried: i32 = sqlx::query_scalar("SELECT attempts FROM payments")
            .fetch_optional(running.pool())
            .await
            .unwrap()?;
        (tried > 1).then_some(())
    })
    .await;
    assert_eq!(status(running.pool(), order.order_id).await.as_deref(), Some("pending"));
    let url = engine("TEST_STRIPE_URL");
    running.restart::<Payment>(&[("STRIPE_API_URL", &url)]).await;
    until(running.pool(), order.order_id, "captured").await;
}

#[tokio::test]
async fn lists_are_asked_for_as_the_real_api_wants_it() {
    let stripe = provider("sk_test_123");
    let since = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    // What the stand-in lists has no payment of a shop's on it.
    for after in [None, Some("pi_1")] {
        let page = stripe.charges_since(since, after).await.unwrap();
        assert_eq!((page.items.len(), page.next), (0, None));
        let page = stripe.refunds_since(since, after).await.unwrap();
        assert_eq!((page.items.len(), page.next), (0, None));
    }
}

/// An account that cannot search, with these charges, the latest first; one on each page. Without charges it refuses to
/// list them.
async fn without_search(charges: Vec<Value>) -> String {
    let refused =
        || (StatusCode::BAD_REQUEST, Json(json!({"error": {"type": "invalid_request_error"}})));
    let list = async move |Query(query): Query<HashMap<String, String>>| {
        let before =
            |charge: &Value| query.get("starting_after").is_some_and(|id| charge["id"] == **id);
        let at = charges.iter().position(before).map_or(0, |last| last + 1);
        // What the shop does not ask for it does not get.
        let since: i64 = query["created[gte]"].parse().unwrap();
        match charges.get(at) {
            Some(charge) if charge["created"].as_i64().unwrap() >= since => {
                let page = json!({"data": [charge], "has_more": at + 1 < charges.len()});
                (StatusCode::OK, Json(page))
            }
            _ => refused(),
        }
    };
    let api = Router::new()
        .route("/v1/payment_intents/search", get(async move || refused()))
        .route("/v1/payment_intents", get(list));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, api).into_future());
    url
}

#[tokio::test]
async fn without_a_search_a_charge_is_looked_for_among_all() {
    let (key, now) = (Uuid::now_v7(), chrono::Utc::now().timestamp());
    let charge = |id: &str, key: Uuid| json!({"id": id, "status": "succeeded", "created": now, "metadata": {"payment_id": key}});
    let others = charge("pi_1", Uuid::now_v7());
    let foreign = json!({"id": "pi_2", "status": "processing", "created": now});
    let ours = charge("pi_3", key);
    let url = without_search(vec![others, foreign, ours]).await;
    let stripe = provider_at(url, "sk_test_123");
    let captured = Charge::Captured { reference: "pi_3".into() };
    assert_eq!(stripe.find(key, None).await.unwrap(), Some(captured));
    assert_eq!(stripe.find(Uuid::now_v7(), None).await.unwrap(), None, "all were looked through");
    // Whoever may look nowhere does not know.
    let stripe = provider_at(without_search(Vec::new()).await, "sk_test_123");
    stripe.find(key, None).await.unwrap_err();
}
