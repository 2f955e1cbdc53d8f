//! Placing orders.

use contracts::events::OrderPlaced;
use contracts::{OrderId, ProductId};
use serde_json::json;

use crate::world::{World, json_of, pointers, total};

#[tokio::test]
async fn an_order_is_taken_with_the_names_and_prices_of_the_catalog() {
    let world = World::start().await;
    let order = json_of(world.try_place("k", &world.wish()).await, 202).await;
    assert_eq!(order["status"], "pending");
    assert_eq!(order["payment"], "unpaid");
    assert_eq!(order["fulfilment"], "none");
    assert_eq!(order["user_id"], json!(world.user));
    assert_eq!(order["total"], json!({ "amount": 4498, "currency": "EUR" }));
    assert_eq!(order["lines"][0]["name"], "Thing at 1999");
    assert!(!order.to_string().contains("tok_visa"), "how it is paid is nobody's business");
    let id: OrderId = order["id"].as_str().unwrap().parse().unwrap();

    let placed = world.service.published::<OrderPlaced>(id.uuid()).await;
    assert_eq!(placed.user_id, world.user);
    assert_eq!(placed.total, total());
    assert_eq!(placed.lines.len(), 2);
    assert_eq!(placed.lines[0].quantity, 2);
    assert_eq!(json!(placed.expires_at), order["expires_at"]);
    let wait = placed.expires_at - chrono::Utc::now();
    assert!((29 * 60..=30 * 60).contains(&wait.num_seconds()), "{wait}");

    // Later prices are the business of later orders.
    world.shelf.offer(world.things[0], 1, true);
    let read = world.get(&format!("/api/v1/orders/{id}")).await;
    assert_eq!(read, order);
    assert_eq!(world.history(id).await, ["placed"]);
}

#[tokio::test]
async fn lines_of_the_same_product_become_one() {
    let world = World::start().await;
    let [thing, other] = world.things;
    let body = json!({ "items": [
        { "product_id": thing, "quantity": 1 },
        { "product_id": other, "quantity": 1 },
        { "product_id": thing, "quantity": 9999 },
    ]});
    let order = json_of(world.try_place("a", &body).await, 202).await;
    assert_eq!(order["lines"].as_array().unwrap().len(), 2);
    assert_eq!(order["lines"][0]["quantity"], 10_000);
    assert_eq!(order["total"]["amount"], 1999 * 10_000 + 500);
    let body = json!({ "items": [
        { "product_id": thing, "quantity": 1 },
        { "product_id": thing, "quantity": 10_000 },
    ]});
    assert_eq!(pointers(world.try_place("b", &body).await).await, ["/items/1/quantity"]);
}

#[tokio::test]
async fn a_variant_is_ordered_by_its_sku_at_its_own_price() {
    let world = World::start().await;
    let thing = world.things[0];
    world.shelf.vary(thing, "THING-RED", "red", 2499);
    let body = json!({ "items": [
        { "product_id": thing, "sku": "THING-RED", "quantity": 2 },
        { "product_id": thing, "quantity": 1 },
    ]});
    let order = json_of(world.try_place("a", &body).await, 202).await;
    let lines = [&order["lines"][0], &order["lines"][1]];
    assert_eq!(lines.map(|line| &line["name"]), ["Thing at 1999 (red)", "Thing at 1999"]);
    assert_eq!(order["total"]["amount"], 2 * 2499 + 1999);
    let id: OrderId = order["id"].as_str().unwrap().parse().unwrap();
    let placed = world.service.published::<OrderPlaced>(id.uuid()).await;
    assert_eq!(placed.lines[0].sku.as_str(), "THING-RED");

    let body = json!({ "items": [{ "product_id": thing, "sku": "THING-BLUE", "quantity": 1 }] });
    assert_eq!(pointers(world.try_place("b", &body).await).await, ["/items/0/sku"]);
}

#[tokio::test]
async fn what_cannot_be_bought_is_pointed_at() {
    let world = World::start().await;
    let (off_sale, unknown) = (ProductId::new(), ProductId::new());
    world.shelf.offer(off_sale, 100, false);
    let body = json!({ "items": [
        { "product_id": off_sale, "quantity": 1 },
        { "product_id": world.things[0], "quantity": 1 },
        { "product_id": unknown, "quantity": 1 },
    ]});
    let answer = world.try_place("k", &body).await;
    assert_eq!(pointers(answer).await, ["/items/0/product_id", "/items/2/product_id"]);
    // A refusal spends no key: the shopper mends the order and sends it again.
    json_of(world.try_place("k", &world.wish()).await, 202).await;
}

#[tokio::test]
async fn without_items_the_callers_cart_is_ordered() {
    let world = World::start().await;
    let token = world.service.signer.token(world.user, &[]);
    let place = async |key: &str| {
        let request = world.service.request("POST", "/api/v1/orders").bearer_auth(&token);
        request.header("Idempotency-Key", key).json(&json!({})).send().await.unwrap()
    };
    world.trolleys.fill(&token, &json!([]));
    assert_eq!(pointers(place("empty").await).await, ["/items"]);
    let line = json!({ "product_id": world.things[1], "quantity": 3, "unit_price": null });
    world.trolleys.fill(&token, &json!([line]));
    let order = json_of(place("full").await, 202).await;
    assert_eq!(order["total"]["amount"], 1500);

    // The cart forgets what was bought; the answer to the same request stays.
    world.trolleys.fill(&token, &json!([]));
    assert_eq!(json_of(place("full").await, 202).await, order);
}

#[tokio::test]
async fn without_the_catalog_nothing_is_placed() {
    let world = World::start().await;
    let placed = json_of(world.try_place("before", &world.wish()).await, 202).await;
    world.shelf.close();
    let problem = json_of(world.try_place("k", &world.wish()).await, 503).await;
    assert_eq!(problem["type"], "/problems/unavailable");
    // What was done before has its answer all the same.
    assert_eq!(json_of(world.try_place("before", &world.wish()).await, 202).await, placed);
    let orders = world.get("/api/v1/orders").await;
    assert_eq!(orders["items"].as_array().unwrap().len(), 1);
}
