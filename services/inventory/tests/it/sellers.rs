//! Who manages which stock.

use std::collections::BTreeSet;

use catalog::Catalog;
use chrono::{Days, Utc};
use contracts::{ProductId, UserId};
use inventory::Inventory;
use inventory::stock::Levels;
use kit::Service;
use kit::auth::Role;
use kit::testing::{Running, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::{Shop, answer, key};
use crate::world::{Product, levels, processed, start, start_with, supply};

/// Everything that a seller may do with one SKU or one announcement: method, path and body. `{id}` is an announcement.
fn one_sku() -> Vec<(&'static str, &'static str, Value)> {
    let day = (Utc::now().date_naive() + Days::new(1)).to_string();
    vec![
        ("GET", "/api/v1/stock/{sku}/threshold", Value::Null),
        ("PUT", "/api/v1/stock/{sku}/threshold", json!({"low_threshold": 1})),
        ("POST", "/api/v1/stock/{sku}/adjustments", json!({"delta": 1})),
        ("POST", "/api/v1/stock/{sku}/supplies", json!({"quantity": 1})),
        ("POST", "/api/v1/stock/{sku}/announcements", json!({"quantity": 1, "expected_on": day})),
        ("GET", "/api/v1/stock/announcements/{id}", Value::Null),
        ("POST", "/api/v1/stock/announcements/{id}/receipts", json!({"quantity": 1})),
        ("POST", "/api/v1/stock/announcements/{id}/cancel", Value::Null),
    ]
}

/// What a seller may list: their own alone.
const LISTS: [&str; 2] = ["/api/v1/stock", "/api/v1/stock/announcements"];
/// What is for administrators.
const ADMIN: [&str; 1] = ["GET /api/v1/stock/{sku}/movements"];

/// Two sellers with a product each, `A` and `B`, and a SKU of no seller, `LOOSE`; five units of each.
async fn two_sellers() -> (Shop, UserId, UserId) {
    let shop = Shop::open().await;
    let (ada, ben) = (UserId::new(), UserId::new());
    for (seller, code) in [(ada, "A"), (ben, "B")] {
        shop.running.publish(&Product::sold_by(seller, &[code]).created()).await;
    }
    processed(&shop.running, 2).await;
    for code in ["A", "B", "LOOSE"] {
        supply(shop.running.pool(), code, 5).await;
    }
    (shop, ada, ben)
}

async fn ask(shop: &Running, by: UserId, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = shop.request_as(by, &[Role::Seller], method, path);
    let request = request.header("Idempotency-Key", key()).header("If-Match", "\"1\"");
    answer(if body.is_null() { request } else { request.json(body) }).await
}

/// The id of a new announcement of this SKU.
async fn announced(shop: &Shop, code: &str) -> String {
    let day = (Utc::now().date_naive() + Days::new(1)).to_string();
    let path = format!("/api/v1/stock/{code}/announcements");
    let body = json!({"quantity": 5, "expected_on": day});
    let (status, announced) = shop.post(Role::Admin, &path, &key(), &body).await;
    assert_eq!(status, 201, "{announced}");
    announced["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn sellers_see_how_many_units_there_are_of_their_own_products_alone() {
    let (shop, ada, _) = two_sellers().await;
    for (code, units) in [("A", json!(5)), ("B", Value::Null), ("LOOSE", Value::Null)] {
        let path = format!("/api/v1/stock/{code}");
        let (status, seen) = ask(&shop.running, ada, "GET", &path, &Value::Null).await;
        assert_eq!((status, &seen["availability"]), (200, &json!("few_left")), "{code}");
        assert_eq!(seen["available"], units, "{code}");
    }
}

#[test]
fn the_tables_name_every_endpoint() {
    let document = serde_json::to_value(Inventory::openapi()).unwrap();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            // An empty requirement lets guests in.
            let security = operation["security"].as_array();
            if security.is_some_and(|any_of| !any_of.contains(&json!({}))) {
                documented.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let one = one_sku().into_iter().map(|(method, path, _)| format!("{method} {path}"));
    let lists = LISTS.map(|path| format!("GET {path}"));
    let named: BTreeSet<_> = one.chain(lists).chain(ADMIN.map(str::to_owned)).collect();
    assert_eq!(named, documented);
}

#[tokio::test]
async fn a_seller_manages_the_stock_of_their_own_products() {
    let (shop, ada, _) = two_sellers().await;
    for (method, path, body) in one_sku() {
        let path = path.replace("{sku}", "A").replace("{id}", &announced(&shop, "A").await);
        let (status, answer) = ask(&shop.running, ada, method, &path, &body).await;
        assert!(status == 200 || status == 201, "{method} {path}: {status} {answer}");
    }
    let after = levels(shop.running.pool(), "A").await;
    assert_eq!(after, Levels { available: 8, reserved: 0 }, "adjusted, supplied, received");
}

#[tokio::test]
async fn a_seller_neither_sees_nor_changes_the_stock_of_others() {
    let (shop, ada, _) = two_sellers().await;
    for (code, expected) in [("B", 403), ("LOOSE", 403), ("UNKNOWN", 404)] {
        let id = announced(&shop, code).await;
        for (method, path, body) in one_sku() {
            let path = path.replace("{sku}", code).replace("{id}", &id);
            let (status, problem) = ask(&shop.running, ada, method, &path, &body).await;
            assert_eq!(status, expected, "{method} {path}: {problem}");
        }
        let (_, unchanged) =
            shop.get(Role::Admin, &format!("/api/v1/stock/announcements/{id}")).await;
        assert_eq!((&unchanged["state"], &unchanged["received"]), (&json!("open"), &json!(0)));
    }
    for code in ["B", "LOOSE"] {
        assert_eq!(levels(shop.running.pool(), code).await.available, 5, "{code}");
    }
    let path = "/api/v1/stock/announcements";
    let (_, all) = shop.get(Role::Admin, path).await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(3), "nothing was announced: {all}");
}

#[tokio::test]
async fn lists_show_a_seller_their_own_stock_alone() {
    let (shop, ada, ben) = two_sellers().await;
    sqlx::query("UPDATE stock SET low_threshold = 9").execute(shop.running.pool()).await.unwrap();
    let mine = announced(&shop, "A").await;
    for code in ["B", "LOOSE"] {
        announced(&shop, code).await;
    }
    for query in ["", "?low=true", "?page=1"] {
        let path = format!("/api/v1/stock{query}");
        let (_, page) = ask(&shop.running, ada, "GET", &path, &Value::Null).await;
        assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{path}: {page}");
        assert_eq!(page["items"][0]["sku"], "A", "{path}");
    }
    // A cursor of the whole list shows no more of it.
    let (_, all) = shop.get(Role::Admin, "/api/v1/stock?limit=1").await;
    let path = format!("/api/v1/stock?cursor={}", all["next_cursor"].as_str().unwrap());
    let (_, page) = ask(&shop.running, ada, "GET", &path, &Value::Null).await;
    assert_eq!(page["items"], json!([]), "after A");
    let (_, page) = ask(&shop.running, ben, "GET", &path, &Value::Null).await;
    assert_eq!(page["items"][0]["sku"], "B");

    let path = "/api/v1/stock/announcements";
    let (_, page) = ask(&shop.running, ada, "GET", path, &Value::Null).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(page["items"][0]["id"], mine);
    let (_, page) = ask(&shop.running, ada, "GET", &format!("{path}?sku=B"), &Value::Null).await;
    assert_eq!(page["items"], json!([]));
}

#[tokio::test]
async fn stock_follows_its_sku_to_the_next_seller() {
    let shop = Shop::open().await;
    let (ada, ben) = (UserId::new(), UserId::new());
    let gone = Product::sold_by(ada, &["A"]);
    shop.running.publish(&gone.created()).await;
    shop.running.publish(&gone.deletion_requested()).await;
    processed(&shop.running, 2).await;
    shop.running.publish(&Product::sold_by(ben, &["A"]).created()).await;
    processed(&shop.running, 3).await;
    let (path, body) = ("/api/v1/stock/A/adjustments", json!({"delta": 1}));
    assert_eq!(ask(&shop.running, ada, "POST", path, &body).await.0, 403);
    assert_eq!(ask(&shop.running, ben, "POST", path, &body).await.0, 201);
}

/// A product from before sellers were kept: its stock is here, and no event will name its seller.
#[tokio::test]
async fn the_catalog_is_asked_who_sells_what_was_here_before() {
    let catalog = Running::start::<Catalog>(&[]).await;
    catalog::db::insert_category(
        &mut catalog.pool().acquire().await.unwrap(),
        "mugs",
        "Mugs",
        None,
    )
    .await
    .unwrap();
    let seller = UserId::new();
    let body = json!({
        "sku": "OLD", "name": "Mug", "category": "mugs", "on_sale": false,
        "price": {"amount": 990, "currency": "EUR"},
    });
    let request = catalog.request_as(seller, &[Role::Seller], "POST", "/api/v1/products");
    let (status, product) = answer(request.json(&body)).await;
    assert_eq!(status, 201, "{product}");
    let id: Uuid = product["id"].as_str().unwrap().parse().unwrap();

    let grpc = catalog.bound.grpc;
    let shop = start_with(&[("CATALOG_GRPC_URL", &format!("http://{grpc}"))]).await;
    let unknown = ProductId::new().uuid();
    for (code, product) in [("GONE", unknown), ("OLD", id)] {
        supply(shop.pool(), code, 5).await;
        sqlx::query("UPDATE stock SET product_id = $2 WHERE sku = $1")
            .bind(code)
            .bind(product)
            .execute(shop.pool())
            .await
            .unwrap();
    }
    eventually("the seller is known", async || {
        let path = "/api/v1/stock/OLD/threshold";
        (ask(&shop, seller, "GET", path, &Value::Null).await.0 == 200).then_some(())
    })
    .await;
    let path = "/api/v1/stock/GONE/threshold";
    assert_eq!(ask(&shop, seller, "GET", path, &Value::Null).await.0, 403);
}

#[tokio::test]
async fn an_update_without_a_seller_keeps_the_one_that_is_known() {
    let running = start().await;
    let seller = UserId::new();
    let product = Product::sold_by(seller, &["A"]);
    running.publish(&product.created()).await;
    let mut updated = product.updated();
    updated.seller_id = None;
    running.publish(&updated).await;
    processed(&running, 2).await;
    let path = "/api/v1/stock/A/threshold";
    assert_eq!(ask(&running, seller, "GET", path, &Value::Null).await.0, 200);
}
