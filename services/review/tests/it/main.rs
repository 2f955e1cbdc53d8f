//! Reviews against real Postgres and Kafka.
#![expect(clippy::unwrap_used, reason = "a test")]

mod answering;
mod catalog;
mod cursors;
mod deleted;
mod moderation;
mod orders;
mod ratings;
mod reading;
mod writing;

use contracts::{ProductId, UserId};
use kit::auth::Role;
use kit::testing::{Running, check_openapi, send_when_available};
use kit::{Service, postgres};
use reqwest::{RequestBuilder, Response, StatusCode};
use review::Reviews;
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::orders::Orders;

#[test]
fn openapi() {
    check_openapi::<Reviews>(env!("CARGO_MANIFEST_DIR"));
}

#[tokio::test]
async fn migrations_can_be_taken_back() {
    let shop = start(&Orders::delivered().await).await;
    let migrator = Reviews::migrator().unwrap();
    let steps = migrator.iter().filter(|step| step.migration_type.is_up_migration()).count();
    postgres::migrate_down(shop.pool(), migrator, steps).await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables
                  WHERE tablename IN ('reviews', 'product_ratings', 'reports')";
    let left: i64 = sqlx::query_scalar(tables).fetch_one(shop.pool()).await.unwrap();
    assert_eq!(left, 0);
    postgres::migrate_up(shop.pool(), migrator).await.unwrap();
}

async fn start(orders: &Orders) -> Running {
    start_with(orders, &Catalog::of(ProductId::new(), UserId::new()).await).await
}

async fn start_with(orders: &Orders, catalog: &Catalog) -> Running {
    let peers = [("ORDER_GRPC_URL", &*orders.url), ("CATALOG_GRPC_URL", &catalog.url)];
    Running::start::<Reviews>(&peers).await
}

/// What a request is answered with: status and JSON, null for no body.
async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    decoded(request.send().await.unwrap()).await
}

/// The same of one that may have to be sent again.
async fn answer_when_available(request: RequestBuilder) -> (StatusCode, Value) {
    decoded(send_when_available(request).await).await
}

async fn decoded(answer: Response) -> (StatusCode, Value) {
    let status = answer.status();
    let body = answer.bytes().await.unwrap();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
}

fn of_product(product: ProductId) -> String {
    format!("/api/v1/products/{product}/reviews")
}

fn path(review: &Value) -> String {
    format!("/api/v1/reviews/{}", review["id"].as_str().unwrap())
}

/// Asks for a review to be written.
fn posting(shop: &Running, user: UserId, product: ProductId, body: &Value) -> RequestBuilder {
    shop.request_as(user, &[Role::Customer], "POST", &of_product(product)).json(body)
}

/// Writes a review.
async fn post(shop: &Running, user: UserId, product: ProductId, rating: u8) -> Value {
    let body = json!({"rating": rating, "text": "As described."});
    let (status, review) = answer(posting(shop, user, product, &body)).await;
    assert_eq!(status, 201, "{review}");
    review
}

/// Asks for a change or the removal of a review that was just read.
fn update(
    shop: &Running,
    user: UserId,
    role: Role,
    method: &str,
    review: &Value,
) -> RequestBuilder {
    update_part(shop, user, role, method, review, "")
}

/// Asks for a change or the removal of a part of a review that was just read.
fn update_part(
    shop: &Running,
    user: UserId,
    role: Role,
    method: &str,
    review: &Value,
    part: &str,
) -> RequestBuilder {
    let (path, version) = (path(review) + part, format!("\"{}\"", review["version"]));
    shop.request_as(user, &[role], method, &path).header("If-Match", version)
}

/// Reads a review as this user.
async fn read(shop: &Running, user: UserId, role: Role, review: &Value) -> (StatusCode, Value) {
    answer(shop.request_as(user, &[role], "GET", &path(review))).await
}

/// The rating that the list of a product's reviews shows.
async fn rating(shop: &Running, product: ProductId) -> Value {
    let (status, page) = answer(shop.request("GET", &of_product(product))).await;
    assert_eq!(status, 200, "{page}");
    page["rating"].clone()
}
