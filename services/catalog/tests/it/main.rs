//! The catalog against real Postgres, Redis and Kafka.
#![expect(clippy::unwrap_used, reason = "a test")]

mod attributes;
mod cache;
mod categories;
mod cost;
mod cursors;
mod deletion;
mod facets;
mod folding;
mod grpc;
mod images;
mod language;
mod photographs;
mod search;
mod seed;
mod selling;
mod texts;
mod told;
mod typos;
mod uploads;
mod variants;

use catalog::{Catalog, db};
use contracts::{ProductId, UserId};
use kit::auth::Role;
use kit::testing::{Running, check_openapi};
use kit::{Service, postgres};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

#[test]
fn openapi() {
    check_openapi::<Catalog>(env!("CARGO_MANIFEST_DIR"));
}

#[tokio::test]
async fn migrations_can_be_taken_back() {
    let shop = start(&[]).await;
    let migrator = Catalog::migrator().unwrap();
    let steps = migrator.iter().filter(|step| step.migration_type.is_up_migration()).count();
    postgres::migrate_down(shop.pool(), migrator, steps).await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename IN ('products', 'categories', 'words', 'skus', 'deletions', 'stocked')";
    let left: i64 = sqlx::query_scalar(tables).fetch_one(shop.pool()).await.unwrap();
    assert_eq!(left, 0);
    postgres::migrate_up(shop.pool(), migrator).await.unwrap();
}

/// A catalog with the categories `things` and, as a part of it, `mugs`.
async fn start(variables: &[(&str, &str)]) -> Running {
    let shop = Running::start::<Catalog>(variables).await;
    let mut connection = shop.pool().acquire().await.unwrap();
    for slug in ["things", "mugs", "books"] {
        db::insert_category(&mut connection, slug, slug, None).await.unwrap();
    }
    sqlx::query("UPDATE categories SET parent = 'things' WHERE slug = 'mugs'")
        .execute(&mut *connection)
        .await
        .unwrap();
    shop
}

/// What a request is answered with: status and JSON, null for no body.
async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let body = answer.bytes().await.unwrap();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
}

/// A product as a seller describes it, with these fields in place of the usual ones.
fn described(fields: &Value) -> Value {
    let id = ProductId::new().uuid().simple().to_string().to_uppercase();
    let mut product = json!({
        "sku": format!("T-{id}"), "name": "Red Mug", "category": "mugs",
        "price": {"amount": 990, "currency": "EUR"},
    });
    for (name, value) in fields.as_object().unwrap() {
        product[name] = value.clone();
    }
    product
}

/// Puts a product into the catalog.
async fn add(shop: &Running, seller: UserId, fields: Value) -> Value {
    let request = shop.request_as(seller, &[Role::Seller], "POST", "/api/v1/products");
    let (status, product) = answer(request.json(&described(&fields))).await;
    assert_eq!(status, 201, "{product}");
    product
}

/// Changes a product that was just read.
async fn patch(shop: &Running, seller: UserId, product: &Value, change: Value) -> Value {
    let request = shop
        .request_as(seller, &[Role::Seller], "PATCH", &path(product))
        .header("If-Match", format!("\"{}\"", product["version"]))
        .json(&change);
    let (status, product) = answer(request).await;
    assert_eq!(status, 200, "{product}");
    product
}

async fn show(shop: &Running, product: &Value) -> (StatusCode, Value) {
    answer(shop.request("GET", &path(product))).await
}

fn path(product: &Value) -> String {
    format!("/api/v1/products/{}", product["id"].as_str().unwrap())
}

fn id(product: &Value) -> ProductId {
    product["id"].as_str().unwrap().parse().unwrap()
}
