//! What providers tell of their own accord.

use chrono::Utc;
use contracts::events::PaymentCaptured;
use hmac::{Hmac, Mac};
use kit::testing::{Running, eventually};
use payment::Payment;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::world::{charged, done_at_the_provider, refund, reserved, send, status, told, until};

const PATH: &str = "/api/v1/webhooks/payments/test";
pub(crate) const SECRETS: [(&str, &str); 1] =
    [("PAYMENT_TEST_WEBHOOK_SECRETS", "whsec_new,whsec_old")];

fn signature(secret: &str, time: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    format!("{:x}", mac.finalize().into_bytes())
}

async fn deliver(running: &Running, body: &str, header: &str) -> (u16, Value) {
    let request = running.request("POST", PATH).header("stripe-signature", header);
    send(request.body(body.to_owned())).await
}

/// Signed with the old secret at this moment.
pub(crate) async fn signed(running: &Running, body: &str) -> u16 {
    let now = Utc::now().timestamp();
    let header = format!("t={now},v1={}", signature("whsec_old", now, body));
    deliver(running, body, &header).await.0
}

fn event(id: &str, r#type: &str, reference: &str) -> String {
    json!({ "id": id, "type": r#type, "data": { "object": { "id": reference } } }).to_string()
}

async fn reference(running: &Running, order: Uuid) -> String {
    sqlx::query_scalar("SELECT provider_reference FROM payments WHERE order_id = $1")
        .bind(order)
        .fetch_one(running.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_webhook_goes_on_with_a_charge_that_waits() {
    let running = Running::start::<Payment>(&SECRETS).await;
    let order = reserved("tok_action", 10);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "requires_action").await;
    let reference = reference(&running, order.order_id.uuid()).await;
    done_at_the_provider(running.pool()).await;
    let body = event("evt_1", "payment_intent.succeeded", &reference);
    assert_eq!(signed(&running, &body).await, 204);
    let _: PaymentCaptured = running.published(order.order_id.uuid()).await;
    for _ in 0..3 {
        assert_eq!(signed(&running, &body).await, 204, "told again");
    }
    let noted: i64 = sqlx::query_scalar("SELECT count(*) FROM webhook_events")
        .fetch_one(running.pool())
        .await
        .unwrap();
    assert_eq!(noted, 1);
    assert_eq!(charged(running.pool()).await, (10, 1));
    assert_eq!(told(running.pool(), order.order_id, "payment.captured").await, 1);
}

/// The provider tells of a failure first that has happened later, or of something that never was.
#[tokio::test]
async fn only_what_the_provider_says_when_asked_counts() {
    let running = Running::start::<Payment>(&SECRETS).await;
    let order = reserved("tok_action", 10);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "requires_action").await;
    let reference = reference(&running, order.order_id.uuid()).await;
    let attempts = async || -> i32 {
        let attempts = "SELECT attempts FROM payments WHERE next_attempt_at > now()";
        let found = sqlx::query_scalar(attempts).fetch_optional(running.pool()).await.unwrap();
        found.unwrap_or_default()
    };
    for (id, told) in [("evt_2", "payment_intent.succeeded"), ("evt_1", "payment_intent.canceled")]
    {
        let before = attempts().await;
        assert_eq!(signed(&running, &event(id, told, &reference)).await, 204);
        eventually("the provider was asked", async || (attempts().await > before).then_some(()))
            .await;
        assert_eq!(
            status(running.pool(), order.order_id).await.as_deref(),
            Some("requires_action"),
            "{told} is not true"
        );
    }
    done_at_the_provider(running.pool()).await;
    let late = event("evt_3", "payment_intent.payment_failed", &reference);
    assert_eq!(signed(&running, &late).await, 204);
    until(running.pool(), order.order_id, "captured").await;
}

#[tokio::test]
async fn what_is_not_signed_by_the_provider_now_is_refused() {
    let running = Running::start::<Payment>(&SECRETS).await;
    let body = r#"{"id": "evt_1",  "type": "payment_intent.succeeded"}"#;
    let now = Utc::now().timestamp();
    let sign = |secret: &str, time: i64| format!("t={time},v1={}", signature(secret, time, body));
    let stale = sign("whsec_old", now - 400);
    let ahead = sign("whsec_old", now + 400);
    let moved = format!("t={now},v1={}", signature("whsec_old", now - 400, body));
    for header in ["", "v1=00", &sign("whsec_else", now), &stale, &ahead, &moved] {
        let (status, problem) = deliver(&running, body, header).await;
        assert_eq!(status, 400, "{header}");
        assert_eq!(problem["type"], "/problems/webhook-signature-invalid");
    }
    // The same JSON, written by somebody else.
    let again = serde_json::from_str::<Value>(body).unwrap().to_string();
    assert_eq!(deliver(&running, &again, &sign("whsec_old", now)).await.0, 400);
    let unsigned = running.request("POST", PATH).body(body);
    assert_eq!(send(unsigned).await.0, 400);
    let noted: i64 = sqlx::query_scalar("SELECT count(*) FROM webhook_events")
        .fetch_one(running.pool())
        .await
        .unwrap();
    assert_eq!(noted, 0);
    for secret in ["whsec_old", "whsec_new"] {
        assert_eq!(deliver(&running, body, &sign(secret, now)).await.0, 204, "{secret}");
    }
    let both = format!("{},v1={}", sign("whsec_gone", now), signature("whsec_new", now, body));
    assert_eq!(deliver(&running, body, &both).await.0, 204);
}

#[tokio::test]
async fn what_means_nothing_here_is_taken_and_ignored() {
    let running = Running::start::<Payment>(&SECRETS).await;
    for body in [
        r#"{"id":"evt_1","type":"customer.created","data":{"object":null}}"#,
        r#"{"id":"evt_2","type":"invoice.paid","data":{"object":{"id":7,"status":[],"metadata":null}}}"#,
        r#"{"id":"evt_3","type":"payment_intent.succeeded"}"#,
        r#"{"id":"evt_4","type":"payment_intent.succeeded","data":{"object":{"id":"pi_foreign","metadata":{"payment_id":"x"}}}}"#,
        r#"{"id":"evt_5","type":"refund.failed","data":{"object":{"id":"re_foreign","status":"failed"}}}"#,
    ] {
        assert_eq!(signed(&running, body).await, 204, "{body}");
    }
    for (body, expected) in [("{", 400), ("[]", 422), (r#"{"id":"","type":"a"}"#, 422)] {
        assert_eq!(signed(&running, body).await, expected, "{body}");
    }
    let elsewhere = running.request("POST", "/api/v1/webhooks/payments/stripe").body("{}");
    assert_eq!(send(elsewhere).await.0, 404, "a provider that the shop does not have");
}

#[tokio::test]
async fn a_refund_that_fails_after_it_was_done_is_owed_again() {
    let running = Running::start::<Payment>(&SECRETS).await;
    let pool = running.pool();
    let order = reserved("tok_visa", 100);
    running.publish(&order).await;
    until(pool, order.order_id, "captured").await;
    running.publish(&refund(&order, 100)).await;
    let reference: String = eventually("the refund is done", async || {
        sqlx::query_scalar("SELECT provider_reference FROM refunds WHERE status = 'done'")
            .fetch_optional(pool)
            .await
            .unwrap()
    })
    .await;
    let body = |id: &str, status: &str| {
        let object = json!({ "id": reference, "status": status, "failure_reason": "lost" });
        json!({ "id": id, "type": "refund.updated", "data": { "object": object } }).to_string()
    };
    // In the wrong order, and twice.
    for (id, status) in [("evt_2", "failed"), ("evt_1", "succeeded"), ("evt_2", "failed")] {
        assert_eq!(signed(&running, &body(id, status)).await, 204);
    }
    let admin = contracts::UserId::new();
    let path = "/api/v1/payments?refund_failed=true";
    let list = running.request_as(admin, &[kit::auth::Role::Admin], "GET", path);
    let (_, page) = send(list).await;
    assert_eq!(page["items"][0]["order_id"], json!(order.order_id));
    assert_eq!(page["items"][0]["refunded"]["amount"], 0);
}
