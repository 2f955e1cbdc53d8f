//! The HTTP API.

use contracts::UserId;
use inventory::Inventory;
use kit::auth::Role;
use kit::testing::Running;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{levels, start, supply};

/// A running service, and somebody who calls it.
pub(crate) struct Shop {
    pub(crate) running: Running,
    pub(crate) user: UserId,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self { running: start().await, user: UserId::new() }
    }

    pub(crate) async fn get(&self, role: Role, path: &str) -> (u16, Value) {
        let request = self.running.request_as(self.user, &[role], "GET", path);
        answer(request).await
    }

    pub(crate) async fn post(
        &self,
        role: Role,
        path: &str,
        key: &str,
        body: &Value,
    ) -> (u16, Value) {
        let request = self.running.request_as(self.user, &[role], "POST", path);
        answer(request.header("Idempotency-Key", key).json(body)).await
    }
}

/// What a request is answered with: status and JSON.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A new `Idempotency-Key`.
pub(crate) fn key() -> String {
    Uuid::now_v7().to_string()
}

#[tokio::test]
async fn everyone_sees_whether_something_is_available_and_nothing_more() {
    let shop = Shop::open().await;
    let pool = shop.running.pool();
    for (sku, units) in [("MUG-01", 5), ("MUG-02", 11)] {
        supply(pool, sku, units).await;
    }
    let shown = [("MUG-01", "few_left", 5), ("MUG-02", "in_stock", 11)];
    for (sku, availability, units) in shown {
        let path = format!("/api/v1/stock/{sku}");
        let coarse = json!({ "sku": sku, "availability": availability });
        let seen = answer(shop.running.request("GET", &path)).await;
        assert_eq!(seen, (200, coarse.clone()));
        // Neither is a product's, so it is no seller's.
        for role in [Role::Customer, Role::Seller] {
            assert_eq!(shop.get(role, &path).await, (200, coarse.clone()), "{role:?}");
        }
        assert_eq!(shop.get(Role::Admin, &path).await.1["available"], units);
    }
    for unknown in ["NOWHERE", "no-sku", "A%00", "A%2FB"] {
        let path = format!("/api/v1/stock/{unknown}");
        assert_eq!(answer(shop.running.request("GET", &path)).await.0, 404, "{unknown}");
    }
}

#[tokio::test]
async fn each_role_may_do_its_own() {
    let shop = Shop::open().await;
    supply(shop.running.pool(), "A", 5).await;
    let delta = json!({ "delta": 1 });
    for (role, list, adjust, movements) in [
        (Role::Customer, 403, 403, 403),
        (Role::Seller, 200, 403, 403),
        (Role::Admin, 200, 201, 200),
    ] {
        assert_eq!(shop.get(role, "/api/v1/stock").await.0, list, "{role:?}");
        let adjusted = shop.post(role, "/api/v1/stock/A/adjustments", &key(), &delta).await;
        assert_eq!(adjusted.0, adjust, "{role:?}");
        assert_eq!(shop.get(role, "/api/v1/stock/A/movements").await.0, movements, "{role:?}");
    }
    let supplied = shop.post(Role::Customer, "/api/v1/stock/A/supplies", &key(), &delta).await;
    assert!(supplied.0 == 403 || supplied.0 == 422, "{supplied:?}");
    for (method, path) in [
        ("GET", "/api/v1/stock"),
        ("POST", "/api/v1/stock/A/adjustments"),
        ("POST", "/api/v1/stock/A/supplies"),
        ("GET", "/api/v1/stock/A/movements"),
    ] {
        assert_eq!(answer(shop.running.request(method, path)).await.0, 401, "{path}");
    }
    assert_eq!(levels(shop.running.pool(), "A").await.available, 6);
}

#[tokio::test]
async fn supplies_and_adjustments_are_kept_in_the_history() {
    let shop = Shop::open().await;
    let body = json!({ "quantity": 10, "note": "first van", "low_threshold": 8 });
    let (status, stock) =
        shop.post(Role::Admin, "/api/v1/stock/NEW-1/supplies", &key(), &body).await;
    assert_eq!(status, 201, "{stock}");
    assert_eq!((&stock["available"], &stock["low_threshold"]), (&json!(10), &json!(8)));
    let body = json!({ "delta": -3, "note": "broken" });
    let (status, stock) =
        shop.post(Role::Admin, "/api/v1/stock/NEW-1/adjustments", &key(), &body).await;
    assert_eq!((status, &stock["available"], &stock["version"]), (201, &json!(7), &json!(2)));
    assert_eq!(stock["low_threshold"], 8);

    let (_, page) = shop.get(Role::Admin, "/api/v1/stock/NEW-1/movements?limit=1").await;
    assert_eq!(page["items"][0]["kind"], "adjustment");
    assert_eq!(page["items"][0]["available_delta"], -3);
    assert_eq!(page["items"][0]["user_id"], shop.user.to_string());
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("/api/v1/stock/NEW-1/movements?cursor={cursor}");
    let (_, page) = shop.get(Role::Admin, &path).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["items"][0]["note"], "first van");
    assert_eq!(page["next_cursor"], Value::Null);
}

#[tokio::test]
async fn the_list_has_pages() {
    let shop = Shop::open().await;
    for code in ["C", "A", "B"] {
        supply(shop.running.pool(), code, 1).await;
    }
    let (_, first) = shop.get(Role::Admin, "/api/v1/stock?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = shop.get(Role::Admin, &format!("/api/v1/stock?cursor={cursor}")).await;
    let skus = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["sku"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((skus(&first), skus(&second)), (vec!["A".into(), "B".into()], vec!["C".into()]));
    assert_eq!(shop.get(Role::Seller, "/api/v1/stock?limit=1000000000").await.0, 400);
}

#[tokio::test]
async fn stock_never_goes_below_nothing_or_above_reason() {
    let shop = Shop::open().await;
    let pool = shop.running.pool();
    supply(pool, "A", 5).await;
    let adjust = "/api/v1/stock/A/adjustments";
    let (status, problem) = shop.post(Role::Admin, adjust, &key(), &json!({ "delta": -6 })).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/conflict")));
    supply(pool, "A", 999_999_999_995).await;
    let (status, _) = shop.post(Role::Admin, adjust, &key(), &json!({ "delta": 1 })).await;
    assert_eq!(status, 409);
    let supplies = "/api/v1/stock/A/supplies";
    let (status, _) = shop.post(Role::Admin, supplies, &key(), &json!({ "quantity": 1 })).await;
    assert_eq!(status, 409);
    assert_eq!(levels(pool, "A").await.available, 1_000_000_000_000);
    let unknown = "/api/v1/stock/NOWHERE/adjustments";
    assert_eq!(shop.post(Role::Admin, unknown, &key(), &json!({ "delta": 1 })).await.0, 404);
}

#[tokio::test]
async fn bad_input_is_refused() {
    let shop = Shop::open().await;
    supply(shop.running.pool(), "A", 5).await;
    for (path, body) in [
        ("adjustments", r#"{"delta": 0}"#),
        ("adjustments", r#"{"delta": 2147483648}"#),
        ("adjustments", r#"{"delta": -9223372036854775808}"#),
        ("adjustments", r#"{"delta": 9223372036854775808}"#),
        ("adjustments", r#"{"delta": 1.5}"#),
        ("adjustments", r#"{"delta": "1"}"#),
        ("adjustments", r#"{"delta": 1, "sku": "B"}"#),
        ("adjustments", r"{}"),
        ("supplies", r#"{"quantity": 0}"#),
        ("supplies", r#"{"quantity": -1}"#),
        ("supplies", r#"{"quantity": 2147483648}"#),
        ("supplies", r#"{"quantity": 1, "low_threshold": -1}"#),
    ] {
        let path = format!("/api/v1/stock/A/{path}");
        let request = shop.running.request_as(shop.user, &[Role::Admin], "POST", &path);
        let request = request.header("Idempotency-Key", key());
        let request = request.header("Content-Type", "application/json").body(body);
        assert_eq!(answer(request).await.0, 422, "{path} {body}");
    }
    let long = json!({ "delta": 1, "note": "x".repeat(501) });
    let (status, problem) =
        shop.post(Role::Admin, "/api/v1/stock/A/adjustments", &key(), &long).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/note")));
    assert_eq!(levels(shop.running.pool(), "A").await.available, 5);
}

#[tokio::test]
async fn a_repeated_request_takes_effect_once() {
    let shop = Shop::open().await;
    supply(shop.running.pool(), "A", 5).await;
    let (key, path) = (key(), "/api/v1/stock/A/adjustments");
    let first = shop.post(Role::Admin, path, &key, &json!({ "delta": 2 })).await;
    assert_eq!(first.0, 201);
    assert_eq!(shop.post(Role::Admin, path, &key, &json!({ "delta": 2 })).await, first);
    assert_eq!(levels(shop.running.pool(), "A").await.available, 7);
    assert_eq!(shop.post(Role::Admin, path, &key, &json!({ "delta": 3 })).await.0, 422);
    let other = "/api/v1/stock/B/adjustments";
    assert_eq!(shop.post(Role::Admin, other, &key, &json!({ "delta": 2 })).await.0, 422);
    let request = shop.running.request_as(shop.user, &[Role::Admin], "POST", path);
    let (status, problem) = answer(request.json(&json!({ "delta": 2 }))).await;
    assert_eq!((status, &problem["type"]), (400, &json!("/problems/idempotency-key-missing")));
}

#[tokio::test]
async fn the_demo_is_filled_once() {
    let shop = Shop::open().await;
    let pool = shop.running.pool();
    shop.running.seed::<Inventory>().await.unwrap();
    let count = "SELECT count(*), sum(available)::bigint FROM stock";
    let once: (i64, i64) = sqlx::query_as(count).fetch_one(pool).await.unwrap();
    let shelves: Vec<_> = contracts::demo::stock().collect();
    let expected: i64 = shelves.iter().map(|shelf| shelf.stock).sum();
    assert_eq!(once, (i64::try_from(shelves.len()).unwrap(), expected));
    shop.running.seed::<Inventory>().await.unwrap();
    let twice: (i64, i64) = sqlx::query_as(count).fetch_one(pool).await.unwrap();
    assert_eq!(twice, once);
    let moved: (i64, i64) = sqlx::query_as(
        "SELECT count(*), sum(available_delta)::bigint FROM movements WHERE kind = 'supply'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(moved, once);
}
