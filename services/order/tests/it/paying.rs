//! What an order may name to be paid with.

use serde_json::{Value, json};

use crate::world::{World, json_of, pointers};

/// What the shop makes of an order that names this token, and of one without.
async fn orders(world: &World, token: Option<&str>) -> reqwest::Response {
    let mut body = world.wish();
    if let Some(token) = token {
        body["payment_token"] = json!(token);
    }
    world.try_place(token.unwrap_or("none"), &body).await
}

/// The token that an order is charged by.
async fn charged(world: &World, order: &Value) -> String {
    let id: uuid::Uuid = order["id"].as_str().unwrap().parse().unwrap();
    let token = sqlx::query_scalar("SELECT payment_token FROM orders WHERE id = $1").bind(id);
    token.fetch_one(world.service.pool()).await.unwrap()
}

#[tokio::test]
async fn a_shop_with_stripe_wants_a_payment_token_of_stripes() {
    let world = World::start_with(&[("PAYMENT_PROVIDERS", "stripe")]).await;
    for bad in [None, Some("tok_visa"), Some("tok_action"), Some("anything")] {
        assert_eq!(pointers(orders(&world, bad).await).await, ["/payment_token"], "{bad:?}");
    }
    assert_eq!(world.get("/api/v1/orders").await["items"], json!([]), "nothing was placed");
    // Whose a saved method is, only the payment service can say.
    let method = format!("method_{}", uuid::Uuid::now_v7());
    for good in ["pm_1A", "credit", &method] {
        let order = json_of(orders(&world, Some(good)).await, 202).await;
        assert_eq!(charged(&world, &order).await, good);
    }
}

#[tokio::test]
async fn a_shop_with_stripe_and_the_test_provider_wants_a_payment_token() {
    let world = World::start_with(&[("PAYMENT_PROVIDERS", "stripe,test")]).await;
    assert_eq!(pointers(orders(&world, None).await).await, ["/payment_token"]);
    for good in ["pm_1A", "tok_visa"] {
        let order = json_of(orders(&world, Some(good)).await, 202).await;
        assert_eq!(charged(&world, &order).await, good);
    }
}

#[tokio::test]
async fn a_shop_with_the_test_provider_alone_has_a_default_payment_token() {
    let world = World::start().await;
    assert_eq!(pointers(orders(&world, Some("pm_1A")).await).await, ["/payment_token"]);
    let order = json_of(orders(&world, None).await, 202).await;
    assert_eq!(charged(&world, &order).await, "tok_visa");
    // What older releases stored of a request without a token, and of one with the default, was the same.
    let mut body = world.wish();
    body["payment_token"] = json!("tok_visa");
    assert_eq!(json_of(world.try_place("none", &body).await, 202).await, order);
}
