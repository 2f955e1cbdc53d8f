//! The HTTP API.

use contracts::UserId;
use kit::auth::Role;
use kit::testing::Running;
use payment::Payment;
use serde_json::{Value, json};

use crate::world::{refund, reserved, until};

async fn get(running: &Running, user: UserId, role: Role, path: &str) -> (u16, Value) {
    let answer = running.request_as(user, &[role], "GET", path).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_payment_is_shown_to_whoever_pays_and_to_staff() {
    let running = Running::start::<Payment>(&[]).await;
    let order = reserved("tok_visa", 1999);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "captured").await;
    running.publish(&refund(&order, 500)).await;
    let path = format!("/api/v1/payments/{}", order.order_id);
    let shown = kit::testing::eventually("the refund is done", async || {
        let (status, payment) = get(&running, order.user_id, Role::Customer, &path).await;
        assert_eq!(status, 200);
        (payment["refunds"][0]["status"] == "done").then_some(payment)
    })
    .await;
    assert_eq!(shown["status"], "captured");
    assert_eq!(shown["amount"], json!({ "amount": 1999, "currency": "EUR" }));
    assert_eq!(shown["refunded"], json!({ "amount": 500, "currency": "EUR" }));
    assert_eq!(shown.get("token"), None);
    let admin = get(&running, UserId::new(), Role::Admin, &path).await;
    assert_eq!(admin, (200, shown));
    for role in [Role::Customer, Role::Seller] {
        let (status, problem) = get(&running, UserId::new(), role, &path).await;
        assert_eq!((status, &problem["type"]), (404, &json!("/problems/not-found")));
    }
    for unknown in [UserId::new().to_string(), "nothing".to_owned()] {
        let path = format!("/api/v1/payments/{unknown}");
        assert_eq!(get(&running, UserId::new(), Role::Admin, &path).await.0, 404, "{unknown}");
    }
    let nobody = running.request("GET", &path).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
}

#[tokio::test]
async fn staff_lists_payments_the_latest_first() {
    let running = Running::start::<Payment>(&[]).await;
    let mut orders = Vec::new();
    for token in ["tok_visa", "tok_declined", "tok_visa"] {
        let order = reserved(token, 10);
        running.publish(&order).await;
        let end = if token == "tok_visa" { "captured" } else { "failed" };
        until(running.pool(), order.order_id, end).await;
        orders.insert(0, order.order_id.to_string());
    }
    let admin = UserId::new();
    let list = async |query: &str| {
        let path = format!("/api/v1/payments{query}");
        let (status, page) = get(&running, admin, Role::Admin, &path).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap().iter();
        let seen = items.map(|item| item["order_id"].as_str().unwrap().to_owned()).collect();
        (page["next_cursor"].as_str().map(str::to_owned), seen)
    };
    let (cursor, mut seen): (_, Vec<String>) = list("?limit=2").await;
    let (end, rest) = list(&format!("?cursor={}", cursor.unwrap())).await;
    seen.extend(rest);
    assert_eq!((seen, end), (orders, None));
    for role in [Role::Customer, Role::Seller] {
        assert_eq!(get(&running, admin, role, "/api/v1/payments").await.0, 403);
    }
    assert_eq!(get(&running, admin, Role::Admin, "/api/v1/payments?limit=0").await.0, 400);
}
