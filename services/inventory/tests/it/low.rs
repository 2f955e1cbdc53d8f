//! Stock that becomes low.

use contracts::events::StockLow;
use kit::auth::Role;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::http::{Shop, answer, key};
use crate::world::{Order, processed, sku, start, supply};

/// Sets the threshold of a SKU that was just read.
async fn set(shop: &Shop, role: Role, code: &str, version: i64, body: &Value) -> (u16, Value) {
    let path = format!("/api/v1/stock/{code}/threshold");
    let request = shop.running.request_as(shop.user, &[role], "PUT", &path);
    answer(request.header("If-Match", format!("\"{version}\"")).json(body)).await
}

/// Available units and threshold of every event about low stock, the first first.
async fn told(pool: &PgPool) -> Vec<(i64, i64)> {
    let told =
        "SELECT payload FROM outbox WHERE type = 'io.shop-operator.stock.low.v1' ORDER BY seq";
    let told: Vec<Value> = sqlx::query_scalar(told).fetch_all(pool).await.unwrap();
    let told = told.into_iter().map(|payload| serde_json::from_value(payload).unwrap());
    told.map(|low: StockLow| (low.available, low.threshold)).collect()
}

#[tokio::test]
async fn what_becomes_low_is_told_once() {
    let shop = Shop::open().await;
    let (running, pool) = (&shop.running, shop.running.pool());
    supply(pool, "A", 10).await;
    supply(pool, "B", 10).await;
    let (status, set) = set(&shop, Role::Admin, "A", 1, &json!({"low_threshold": 5})).await;
    assert_eq!((status, &set["version"]), (200, &json!(2)), "{set}");
    let id: Uuid =
        sqlx::query_scalar("SELECT id FROM stock WHERE sku = 'A'").fetch_one(pool).await.unwrap();
    let orders = [4, 1, 1].map(|units| Order::of(&[("A", units), ("B", units)]));
    for (index, order) in (1..).zip(&orders) {
        running.publish(&order.placed()).await;
        processed(running, index).await;
    }
    assert_eq!(told(pool).await, [(5, 5)], "at the second order, and not again at the third");
    let low: StockLow = running.published(id).await;
    assert_eq!((low.sku, low.available, low.threshold), (sku("A"), 5, 5));

    // What leaves was not available before; what comes back is above the line again.
    running.publish(&orders[1].paid()).await;
    running.publish(&orders[0].cancelled()).await;
    processed(running, 5).await;
    assert_eq!(told(pool).await.len(), 1);
    let adjust = async |delta: i64| {
        let path = "/api/v1/stock/A/adjustments";
        shop.post(Role::Admin, path, &key(), &json!({"delta": delta})).await
    };
    assert_eq!(adjust(-9).await.0, 409, "there are eight: nothing happens, nothing is told");
    assert_eq!(adjust(-4).await.0, 201);
    assert_eq!(told(pool).await, [(5, 5), (4, 5)]);
    let rejected = Order::of(&[("A", 5)]);
    running.publish(&rejected.placed()).await;
    processed(running, 6).await;
    assert_eq!(told(pool).await.len(), 2);
}

#[tokio::test]
async fn many_at_once_tell_once() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 30).await;
    sqlx::query("UPDATE stock SET low_threshold = 15").execute(pool).await.unwrap();
    for _ in 0..30 {
        running.publish(&Order::of(&[("A", 1)]).placed()).await;
    }
    processed(&running, 30).await;
    assert_eq!(told(pool).await, [(15, 15)]);
}

#[tokio::test]
async fn a_threshold_that_comes_up_to_the_stock_is_told_too() {
    let shop = Shop::open().await;
    let pool = shop.running.pool();
    supply(pool, "A", 10).await;
    for (version, threshold, expected) in [
        (1, json!(9), vec![]),
        (2, json!(10), vec![(10, 10)]),
        (3, json!(20), vec![(10, 10)]),
        (4, Value::Null, vec![(10, 10)]),
        (5, json!(1_000_000_000), vec![(10, 10), (10, 1_000_000_000)]),
    ] {
        let body = json!({"low_threshold": threshold});
        let (status, set) = set(&shop, Role::Admin, "A", version, &body).await;
        assert_eq!((status, &set["low_threshold"]), (200, &threshold), "{set}");
        assert_eq!(told(pool).await, expected, "{threshold}");
    }
    let body = json!({"quantity": 5, "low_threshold": 8});
    shop.post(Role::Admin, "/api/v1/stock/NEW/supplies", &key(), &body).await;
    assert_eq!(told(pool).await.last(), Some(&(5, 8)), "low from the beginning");
}

#[tokio::test]
async fn a_threshold_needs_its_own_version_and_staff() {
    let shop = Shop::open().await;
    supply(shop.running.pool(), "A", 10).await;
    let body = json!({"low_threshold": 3});
    let path = "/api/v1/stock/A/threshold";
    assert_eq!(set(&shop, Role::Customer, "A", 1, &body).await.0, 403);
    assert_eq!(shop.get(Role::Customer, path).await.0, 403);
    for method in ["GET", "PUT"] {
        let guest = shop.running.request(method, path).header("If-Match", "\"1\"").json(&body);
        assert_eq!(answer(guest).await.0, 401, "{method}");
    }
    let blind = shop.running.request_as(shop.user, &[Role::Admin], "PUT", path).json(&body);
    assert_eq!(answer(blind).await.0, 428);
    assert_eq!(set(&shop, Role::Admin, "NOWHERE", 1, &body).await.0, 404);
    for bad in [
        json!({"low_threshold": -1}),
        json!({"low_threshold": 1_000_000_001}),
        json!({"low_threshold": 1.5}),
        json!({"low_threshold": 1, "sku": "B"}),
        json!({}),
    ] {
        assert_eq!(set(&shop, Role::Admin, "A", 1, &bad).await.0, 422, "{bad}");
    }
    supply(shop.running.pool(), "A", 1).await;
    let (status, now) = set(&shop, Role::Admin, "A", 1, &body).await;
    assert_eq!(status, 200, "units have come meanwhile, which is nothing to the threshold: {now}");
    assert_eq!(set(&shop, Role::Admin, "A", 1, &body).await.0, 412);
    assert_eq!(shop.get(Role::Admin, path).await, (200, now));
}

#[tokio::test]
async fn what_is_low_is_listed() {
    let shop = Shop::open().await;
    for (code, units) in [("A", 3), ("B", 4), ("C", 2), ("D", 0)] {
        supply(shop.running.pool(), code, units + 1).await;
        let body = json!({"delta": -1});
        let path = format!("/api/v1/stock/{code}/adjustments");
        shop.post(Role::Admin, &path, &key(), &body).await;
        if code != "D" {
            set(&shop, Role::Admin, code, 1, &json!({"low_threshold": 3})).await;
        }
    }
    let skus = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["sku"].as_str().unwrap().to_owned()).collect()
    };
    let (_, first) = shop.get(Role::Admin, "/api/v1/stock?low=true&limit=1").await;
    assert_eq!(skus(&first), ["A"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("/api/v1/stock?low=true&cursor={cursor}");
    let (_, rest) = shop.get(Role::Admin, &path).await;
    assert_eq!((skus(&rest), &rest["next_cursor"]), (vec!["C".to_owned()], &Value::Null));
    let (_, all) = shop.get(Role::Admin, "/api/v1/stock").await;
    assert_eq!(skus(&all), ["A", "B", "C", "D"]);
    assert_eq!(shop.get(Role::Admin, "/api/v1/stock?low=perhaps").await.0, 400);
    assert_eq!(shop.get(Role::Customer, "/api/v1/stock?low=true").await.0, 403);
}
