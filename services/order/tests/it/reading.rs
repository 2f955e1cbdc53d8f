//! Who sees what.

use contracts::proto::order::HasReceivedRequest;
use contracts::proto::order::orders_client::OrdersClient;
use contracts::{OrderId, ProductId, UserId};
use kit::auth::Role;
use serde_json::Value;

use crate::world::{World, captured, json_of};

#[tokio::test]
async fn an_order_is_its_owners_and_the_staffs() {
    let world = World::start().await;
    let id = world.place().await;
    let stranger = UserId::new();
    let ask = async |user, roles: &[Role], method: &str, path: &str| {
        world.service.request_as(user, roles, method, path).send().await.unwrap()
    };
    let path = format!("/api/v1/orders/{id}");
    let (history, cancel) = (format!("{path}/history"), format!("{path}/cancel"));
    for role in [Role::Customer, Role::Seller] {
        for (method, path) in [("GET", &path), ("GET", &history), ("POST", &cancel)] {
            let problem = json_of(ask(stranger, &[role], method, path).await, 404).await;
            assert_eq!(problem["detail"], "there is no such order");
        }
    }
    assert_eq!(json_of(ask(stranger, &[Role::Admin], "GET", &path).await, 200).await["version"], 1);
    json_of(ask(stranger, &[Role::Admin], "GET", &history).await, 200).await;
    let missing = format!("/api/v1/orders/{}", OrderId::new());
    json_of(ask(stranger, &[Role::Admin], "GET", &missing).await, 404).await;

    let answer = ask(stranger, &[Role::Admin], "POST", &cancel).await;
    assert_eq!(json_of(answer, 200).await["reason"], "by_staff");
}

#[tokio::test]
async fn a_list_is_the_callers_own_newest_first() {
    let world = World::start().await;
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push(world.place().await.to_string());
    }
    placed.reverse();
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|order| order["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = world.get("/api/v1/orders?limit=2").await;
    assert_eq!(ids(&first), placed[..2]);
    // What is placed meanwhile does not push anything onto the next page again.
    world.place().await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = world.get(&format!("/api/v1/orders?limit=2&cursor={cursor}")).await;
    assert_eq!(ids(&second), placed[2..4]);
    let page = world.get("/api/v1/orders?limit=4&page=2").await;
    assert_eq!(ids(&page), placed[3..]);
    assert_eq!(page["next_cursor"], Value::Null);

    let stranger = world.service.request_as(UserId::new(), &[], "GET", "/api/v1/orders");
    assert_eq!(ids(&json_of(stranger.send().await.unwrap(), 200).await), Vec::<String>::new());
}

#[tokio::test]
async fn staff_ship_and_deliver_and_then_it_was_received() {
    let world = World::start().await;
    let id = world.reserved().await;
    let path = format!("/api/v1/orders/{id}");
    let (ship, deliver) = (format!("{path}/ship"), format!("{path}/deliver"));
    json_of(world.post(&ship).await, 403).await;
    json_of(world.post(&deliver).await, 403).await;
    let problem = json_of(world.post_as_staff(&ship).await, 409).await;
    assert_eq!(problem["detail"], "an order that is reserved cannot be shipped");
    world.service.publish(&captured(id)).await;
    world.reaches(id, "paid").await;
    json_of(world.post_as_staff(&deliver).await, 409).await;

    let mut client =
        OrdersClient::connect(format!("http://{}", world.service.bound.grpc)).await.unwrap();
    let mut received = async |user: String, product: String| {
        let request = HasReceivedRequest { user_id: user, product_id: product };
        client.has_received(request).await.map(|answer| answer.into_inner().received)
    };
    let (user, thing) = (world.user.to_string(), world.things[0].to_string());
    assert!(!received(user.clone(), thing.clone()).await.unwrap(), "it is not even shipped");
    for _ in 0..2 {
        assert_eq!(json_of(world.post_as_staff(&ship).await, 200).await["fulfilment"], "shipped");
    }
    for _ in 0..2 {
        let order = json_of(world.post_as_staff(&deliver).await, 200).await;
        assert_eq!((&order["status"], &order["version"]), (&"delivered".into(), &5.into()));
    }
    assert!(received(user.clone(), thing.clone()).await.unwrap());
    assert!(!received(user.clone(), ProductId::new().to_string()).await.unwrap());
    assert!(!received(UserId::new().to_string(), thing).await.unwrap());
    let status = received(user, "x".to_owned()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);

    let history = world.get(&format!("{path}/history")).await;
    let events: Vec<_> = history.as_array().unwrap().iter().map(|e| e["type"].as_str()).collect();
    let wanted = ["placed", "reserved", "paid", "shipped", "delivered"];
    assert_eq!(events, wanted.map(Some));
    assert_eq!(history[2]["payment"], "captured");
    assert!(!history.to_string().contains("tok_visa"));
}

#[tokio::test]
async fn staff_read_in_the_history_of_an_order_who_made_it() {
    let world = World::start().await;
    let id = world.reserved().await;
    let admin = UserId::new();
    let ask = async |method: &str, path: &str| {
        let path = format!("/api/v1/orders/{id}{path}");
        let request = world.service.request_as(admin, &[Role::Admin], method, &path);
        json_of(request.send().await.unwrap(), 200).await
    };
    world.service.publish(&captured(id)).await;
    world.reaches(id, "paid").await;
    ask("POST", "/ship").await;
    ask("POST", "/deliver").await;
    let back = format!("/api/v1/orders/{id}/return");
    let back = world.service.request_as(world.user, &[], "POST", &back);
    json_of(back.json(&serde_json::json!({})).send().await.unwrap(), 200).await;

    let customer = serde_json::json!({ "kind": "customer", "id": world.user });
    let staff = serde_json::json!({ "kind": "admin", "id": admin });
    let system = serde_json::json!({ "kind": "system" });
    let actors = |history: &Value| -> Vec<Value> {
        history.as_array().unwrap().iter().map(|entry| entry["actor"].clone()).collect()
    };
    let shown = actors(&ask("GET", "/history").await);
    assert_eq!(shown, [&customer, &system, &system, &staff, &staff, &customer].map(Clone::clone));
    let shown = world.get(&format!("/api/v1/orders/{id}/history")).await;
    assert!(!shown.to_string().contains("actor"), "customers see what happened: {shown}");

    // What older releases have stored.
    let older = "UPDATE order_events SET actor_kind = NULL, actor_id = NULL WHERE order_id = $1";
    sqlx::query(older).bind(id.uuid()).execute(world.service.pool()).await.unwrap();
    assert_eq!(actors(&ask("GET", "/history").await), [const { Value::Null }; 6]);
}
