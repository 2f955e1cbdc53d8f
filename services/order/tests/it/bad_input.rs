//! Requests that nobody should send.

use contracts::{ProductId, UserId};
use kit::auth::Role;
use serde_json::{Value, json};

use crate::world::{World, captured, json_of, pointers};

#[tokio::test]
async fn bad_items_are_refused_and_pointed_at() {
    let world = World::start().await;
    let thing = world.things[0];
    let item = |quantity: Value| json!({ "product_id": thing, "quantity": quantity });
    let quantity = "/items/0/quantity";
    for (items, pointer) in [
        (json!([item(json!(0))]), quantity),
        (json!([item(json!(-1))]), quantity),
        (json!([item(json!(10_001))]), quantity),
        (json!([item(json!(2_147_483_648_u32))]), quantity),
        (json!([item(json!(4_294_967_296_u64))]), quantity),
        (json!([item(json!(1.5))]), quantity),
        (json!([item(json!("1"))]), quantity),
        (json!([{ "product_id": "x", "quantity": 1 }]), "/items/0/product_id"),
        (json!([]), "/items"),
        (json!(vec![item(json!(1)); 101]), "/items"),
        (
            json!(
                (0..101)
                    .map(|_| json!({ "product_id": ProductId::new(), "quantity": 1 }))
                    .collect::<Vec<_>>()
            ),
            "/items",
        ),
    ] {
        let answer = world.try_place("k", &json!({ "items": items })).await;
        assert_eq!(pointers(answer).await, [pointer], "{items}");
    }
    let many = vec![item(json!(1)); 100_000];
    json_of(world.try_place("k", &json!({ "items": many })).await, 413).await;
    assert_eq!(world.get("/api/v1/orders").await["items"], json!([]));
}

#[tokio::test]
async fn a_client_cannot_name_a_price_or_anything_else() {
    let world = World::start().await;
    let thing = world.things[0];
    let price = json!({ "amount": 1, "currency": "EUR" });
    let line = |name: &str| json!({ "product_id": thing, "quantity": 1, name: price });
    for (body, pointer) in [
        (json!({ "items": [line("unit_price")] }), "/items/0/unit_price"),
        (json!({ "items": [line("price")] }), "/items/0/price"),
        (json!({ "items": [{ "product_id": thing, "quantity": 1 }], "total": price }), "/total"),
        (
            json!({ "items": [{ "product_id": thing, "quantity": 1 }], "user_id": world.user }),
            "/user_id",
        ),
    ] {
        let answer = world.try_place("k", &body).await;
        assert_eq!(pointers(answer).await, [pointer], "{body}");
    }
}

#[tokio::test]
async fn a_card_number_is_no_payment_token() {
    let world = World::start().await;
    for token in ["4242424242424242", "", "tok visa", &"t".repeat(256)] {
        let mut body = world.wish();
        body["payment_token"] = json!(token);
        assert_eq!(pointers(world.try_place("k", &body).await).await, ["/payment_token"]);
    }
    let mut body = world.wish();
    body["payment_token"] = json!("tok\0visa");
    json_of(world.try_place("k", &body).await, 400).await;
}

#[tokio::test]
async fn a_total_that_is_too_large_is_refused() {
    let world = World::start().await;
    let dear = ProductId::new();
    world.shelf.offer(dear, i64::MAX / 2, true);
    for quantity in [2, 3, 10_000] {
        let items = json!([
            { "product_id": dear, "quantity": quantity },
            { "product_id": world.things[0], "quantity": 1 },
        ]);
        let answer = world.try_place("k", &json!({ "items": items })).await;
        assert_eq!(pointers(answer).await, ["/items"]);
    }
}

#[tokio::test]
async fn lists_and_ids_are_checked() {
    let world = World::start().await;
    let get = async |path: &str| {
        world.service.request_as(world.user, &[], "GET", path).send().await.unwrap()
    };
    for query in ["limit=0", "limit=1000000000", "limit=-1", "cursor=%25", "page=0", "sort=id"] {
        json_of(get(&format!("/api/v1/orders?{query}")).await, 400).await;
    }
    for id in ["x", "%00", "../orders", "00000000-0000-0000-0000-000000000000"] {
        json_of(get(&format!("/api/v1/orders/{id}/history")).await, 404).await;
    }
    let answer = world.service.request("GET", "/api/v1/orders").send().await.unwrap();
    json_of(answer, 401).await;
}

#[tokio::test]
async fn content_of_a_body_that_an_operation_does_not_take_is_refused() {
    let world = World::start().await;
    let id = world.reserved().await;
    world.service.publish(&captured(id)).await;
    world.reaches(id, "paid").await;
    let send = async |step: &str, body: &'static str| {
        let path = format!("/api/v1/orders/{id}/{step}");
        let request = world.service.request_as(UserId::new(), &[Role::Admin], "POST", &path);
        let request = request.header("Content-Type", "application/json").body(body);
        request.send().await.unwrap()
    };
    let tracked = r#"{ "carrier": "UPS", "tracking_number": "1Z" }"#;
    for step in ["ship", "deliver", "cancel", "return/receive"] {
        assert_eq!(pointers(send(step, tracked).await).await, ["/carrier", "/tracking_number"]);
        json_of(send(step, "[]").await, 400).await;
    }
    assert_eq!(world.get(&format!("/api/v1/orders/{id}")).await["status"], "paid");
    let large = "9".repeat(100_000).leak();
    json_of(send("ship", large).await, 413).await;
    // What many clients send by themselves says nothing.
    assert_eq!(json_of(send("ship", "{}").await, 200).await["status"], "shipped");
    assert_eq!(json_of(send("deliver", "").await, 200).await["status"], "delivered");
}
