//! One request, one order, however often it is sent.

use futures_util::future::join_all;
use kit::testing::eventually;
use serde_json::{Value, json};

use crate::world::{World, json_of};

#[tokio::test]
async fn the_same_key_gets_the_same_answer_and_one_order() {
    let world = World::start().await;
    let first = json_of(world.try_place("k", &world.wish()).await, 202).await;
    // Prices may have changed meanwhile; the answer has not.
    world.shelf.offer(world.things[0], 1, true);
    assert_eq!(json_of(world.try_place("k", &world.wish()).await, 202).await, first);

    let other = json!({ "items": [{ "product_id": world.things[0], "quantity": 1 }] });
    let problem = json_of(world.try_place("k", &other).await, 422).await;
    assert_eq!(problem["type"], "/problems/idempotency-key-reused");

    let request = world.service.request_as(world.user, &[], "POST", "/api/v1/orders");
    let problem = json_of(request.json(&world.wish()).send().await.unwrap(), 400).await;
    assert_eq!(problem["type"], "/problems/idempotency-key-missing");

    // Keys are a user's own.
    let stranger = contracts::UserId::new();
    let request = world.service.request_as(stranger, &[], "POST", "/api/v1/orders");
    let request = request.header("Idempotency-Key", "k").json(&world.wish());
    let theirs = json_of(request.send().await.unwrap(), 202).await;
    assert_ne!(theirs["id"], first["id"]);
    let orders = world.get("/api/v1/orders").await;
    assert_eq!(orders["items"], json!([first]));
}

#[tokio::test]
async fn twenty_at_once_are_one_order() {
    let world = World::start().await;
    let wish = world.wish();
    let ids = join_all((0..20).map(|_| placed(&world, &wish))).await;
    let orders = world.get("/api/v1/orders").await;
    let orders = orders["items"].as_array().unwrap();
    assert_eq!(orders.len(), 1);
    assert!(ids.iter().all(|id| *id == orders[0]["id"]));
    let told: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox")
        .fetch_one(world.service.pool())
        .await
        .unwrap();
    assert_eq!(told, 1);
}

/// What a client does that wants its order: repeats the request while it is told to.
async fn placed(world: &World, wish: &Value) -> Value {
    eventually("the order is placed", async || {
        let answer = world.try_place("k", wish).await;
        match answer.status().as_u16() {
            409 => {
                let problem = json_of(answer, 409).await;
                assert_eq!(problem["type"], "/problems/idempotency-key-in-flight");
                None
            }
            503 => None,
            _ => Some(json_of(answer, 202).await["id"].clone()),
        }
    })
    .await
}
