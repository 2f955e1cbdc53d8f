//! Charges that a shopper's bank wants back.

use contracts::events::{Event, PaymentDisputed};
use kit::auth::Role;
use kit::testing::{Running, eventually};
use payment::Payment;
use serde_json::{Value, json};

use crate::webhooks::{SECRETS, signed};
use crate::world::{reserved, send, until};

fn dispute(event: (&str, i64), status: &str, charge: &str) -> String {
    let (id, created) = event;
    json!({
        "id": id, "type": "charge.dispute.updated", "created": created,
        "data": { "object": {
            "id": "dp_1", "payment_intent": charge, "amount": 100, "currency": "eur",
            "reason": "fraudulent", "status": status,
            "evidence_details": { "due_by": 1_900_000_000 },
        } },
    })
    .to_string()
}

#[tokio::test]
async fn each_status_of_a_dispute_is_published_once() {
    let running = Running::start::<Payment>(&SECRETS).await;
    let order = reserved("tok_visa", 100);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "captured").await;
    let charge: String = sqlx::query_scalar("SELECT provider_reference FROM payments")
        .fetch_one(running.pool())
        .await
        .unwrap();
    // `created` and `funds_withdrawn` come at the same time.
    let first =
        [("evt_1", 10), ("evt_2", 10)].map(|event| dispute(event, "needs_response", &charge));
    let (one, two) = tokio::join!(signed(&running, &first[0]), signed(&running, &first[1]));
    assert_eq!((one, two), (204, 204));
    // One that says the same again, and one that is older than what is known.
    for (event, status) in [
        (("evt_3", 20), "needs_response"),
        (("evt_4", 30), "lost"),
        (("evt_5", 15), "under_review"),
    ] {
        assert_eq!(signed(&running, &dispute(event, status, &charge)).await, 204);
    }
    let appended: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE type = $1")
        .bind(PaymentDisputed::TYPE)
        .fetch_one(running.pool())
        .await
        .unwrap();
    assert_eq!(appended, 2, "needs_response and lost");
    let order_id = order.order_id.uuid();
    let is = |status: &'static str| move |event: &PaymentDisputed| event.status == status;
    let opened = running.published_where(order_id, is("needs_response")).await;
    assert_eq!((opened.dispute.as_str(), opened.reason.as_str()), ("dp_1", "fraudulent"));
    assert_eq!(opened.due_at.unwrap().timestamp(), 1_900_000_000);
    running.published_where(order_id, is("lost")).await;
}

#[tokio::test]
async fn staff_sees_what_a_bank_wants_back_until_that_is_decided() {
    let running = Running::start::<Payment>(&SECRETS).await;
    let order = reserved("tok_visa", 100);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "captured").await;
    let charge: String = sqlx::query_scalar("SELECT provider_reference FROM payments")
        .fetch_one(running.pool())
        .await
        .unwrap();
    let disputed = async || {
        let path = "/api/v1/payments?disputed=true";
        let list = running.request_as(order.user_id, &[Role::Admin], "GET", path);
        send(list).await.1["items"].as_array().unwrap().len()
    };
    let shown = async || {
        let path = format!("/api/v1/payments/{}", order.order_id);
        send(running.request_as(order.user_id, &[], "GET", &path)).await.1["disputes"].clone()
    };
    // A foreign charge, and something that is no dispute at all.
    for body in [
        dispute(("evt_0", 5), "needs_response", "pi_foreign"),
        r#"{"id":"evt_x","type":"charge.dispute.created","data":{"object":null}}"#.to_owned(),
    ] {
        assert_eq!(signed(&running, &body).await, 204);
    }
    assert_eq!((disputed().await, shown().await), (0, json!([])));

    assert_eq!(signed(&running, &dispute(("evt_1", 10), "needs_response", &charge)).await, 204);
    let found = shown().await;
    assert_eq!(found[0]["reason"], "fraudulent", "{found}");
    assert_eq!(found[0]["status"], "needs_response");
    assert_eq!(found[0]["due_at"], "2030-03-17T17:46:40Z");
    assert_eq!(disputed().await, 1);
    eventually("it is measured", async || {
        running.metrics().await.contains("payment_disputes_open{answered=\"false\"}").then_some(())
    })
    .await;

    // In the wrong order: what comes later was true earlier.
    for (id, created, status) in [
        ("evt_3", 30, "under_review"),
        ("evt_2", 20, "needs_response"),
        ("evt_5", 50, "lost"),
        ("evt_4", 40, "under_review"),
        ("evt_6", 60, "under_review"),
    ] {
        assert_eq!(signed(&running, &dispute((id, created), status, &charge)).await, 204);
        let expected = match created {
            0..40 => "under_review",
            _ => "lost",
        };
        assert_eq!(shown().await[0]["status"], json!(expected), "{id}");
    }
    assert_eq!(disputed().await, 0);
    assert_eq!(shown().await.as_array().map(Vec::len), Some(1));
    assert_ne!(shown().await[0]["created_at"], Value::Null);
}
