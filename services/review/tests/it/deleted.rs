//! Products that are gone, and their reviews with them.

use contracts::events::{
    ProductDeleted, ProductDeletionRequested, ProductDeletionWithdrawn, ReviewPosted,
};
use contracts::{EventId, ProductId, UserId};
use kit::auth::Role;
use kit::testing::{Running, eventually, refuse_large_statements};
use serde_json::json;
use tokio::task::JoinSet;

use crate::orders::Orders;
use crate::ratings::stored_and_true;
use crate::{answer, of_product, path, post, posting, rating, read, start, update};

fn gone(product_id: ProductId) -> ProductDeleted {
    ProductDeleted { product_id, skus: vec!["A-1".parse().unwrap()] }
}

async fn took_effect(shop: &Running, event: EventId) {
    eventually("the event has taken effect", async || {
        let noted = "SELECT count(*) FROM inbox WHERE event_id = $1";
        let noted = sqlx::query_scalar(noted).bind(event.uuid()).fetch_one(shop.pool()).await;
        (noted.unwrap_or(0_i64) == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_reviews_of_a_deleted_product_go_with_it() {
    let shop = start(&Orders::delivered().await).await;
    let (product, other, author) = (ProductId::new(), ProductId::new(), UserId::new());
    let review = post(&shop, author, product, 5).await;
    post(&shop, UserId::new(), product, 1).await;
    let kept = post(&shop, UserId::new(), other, 4).await;
    let report = path(&review) + "/reports";
    let report = shop.request_as(UserId::new(), &[Role::Customer], "POST", &report);
    assert_eq!(answer(report.json(&json!({"reason": "spam"}))).await.0, 201);

    let event = shop.publish(&gone(product)).await;
    shop.publish_as(event, &gone(product)).await;
    took_effect(&shop, event).await;
    took_effect(&shop, shop.publish(&gone(product)).await).await;
    assert_eq!(read(&shop, author, Role::Customer, &review).await.0, 404);
    assert_eq!(rating(&shop, product).await, json!({"average": null, "count": 0}));
    assert_eq!(stored_and_true(&shop, product).await, [(0, 0); 2]);
    let reports = "SELECT count(*) FROM reports";
    let reports: i64 = sqlx::query_scalar(reports).fetch_one(shop.pool()).await.unwrap();
    assert_eq!(reports, 0);
    let body = json!({"rating": 1, "text": "Too late."});
    let (status, problem) = answer(posting(&shop, author, product, &body)).await;
    assert_eq!((status.as_u16(), &problem["type"]), (404, &json!("/problems/not-found")));
    assert_eq!(stored_and_true(&shop, product).await, [(0, 0); 2]);

    assert_eq!(answer(shop.request("GET", &path(&kept))).await.1, kept, "others stay");
    assert_eq!(stored_and_true(&shop, other).await, [(1, 4); 2]);
    let (_, page) = answer(shop.request("GET", &of_product(other))).await;
    assert_eq!(page["items"], json!([kept]));
}

/// Twelve thousand reviews of a product, and as many reports of its first one.
const MANY: &str = "INSERT INTO reviews (id, product_id, user_id, rating, text)
    SELECT gen_random_uuid(), product_id, gen_random_uuid(), 5, 'Good.'
    FROM product_ratings, generate_series(1, 12000);
    INSERT INTO reports (id, review_id, user_id, reason)
    SELECT gen_random_uuid(), (SELECT id FROM reviews ORDER BY created_at LIMIT 1), gen_random_uuid(), 'spam'
    FROM generate_series(1, 12000)";

#[tokio::test]
async fn many_reviews_of_a_deleted_product_go_in_batches() {
    let shop = start(&Orders::delivered().await).await;
    let product = ProductId::new();
    post(&shop, UserId::new(), product, 5).await;
    refuse_large_statements(shop.pool(), &["reviews", "reports"]).await;
    sqlx::raw_sql(MANY).execute(shop.pool()).await.unwrap();
    took_effect(&shop, shop.publish(&gone(product)).await).await;
    for rows in ["SELECT count(*) FROM reviews", "SELECT count(*) FROM reports"] {
        let left: i64 = sqlx::query_scalar(rows).fetch_one(shop.pool()).await.unwrap();
        assert_eq!(left, 0, "{rows}");
    }
}

#[tokio::test]
async fn a_product_that_nobody_has_reviewed_is_reviewed_no_more() {
    let shop = start(&Orders::delivered().await).await;
    let product = ProductId::new();
    took_effect(&shop, shop.publish(&gone(product)).await).await;
    let body = json!({"rating": 1, "text": "Too late."});
    assert_eq!(answer(posting(&shop, UserId::new(), product, &body)).await.0, 404);
}

#[tokio::test]
async fn a_deletion_that_is_asked_for_or_withdrawn_touches_nothing() {
    let shop = start(&Orders::delivered().await).await;
    let product_id = ProductId::new();
    let review = post(&shop, UserId::new(), product_id, 5).await;
    let skus = vec!["A-1".parse().unwrap()];
    shop.publish(&ProductDeletionRequested { product_id, skus: skus.clone() }).await;
    shop.publish(&ProductDeletionWithdrawn { product_id, skus }).await;
    assert_eq!(answer(shop.request("GET", &path(&review))).await.1, review);
    // Events of one product keep their order: when this one has taken effect, those have been seen.
    took_effect(&shop, shop.publish(&gone(product_id)).await).await;
    let effects = "SELECT count(*) FROM inbox";
    let effects: i64 = sqlx::query_scalar(effects).fetch_one(shop.pool()).await.unwrap();
    assert_eq!(effects, 1, "of three events one was heard");
}

#[tokio::test]
async fn whatever_happens_at_once_nothing_is_left() {
    let shop = start(&Orders::delivered().await).await;
    let product = ProductId::new();
    let mut reviews = Vec::new();
    for _ in 0..6 {
        let author = UserId::new();
        reviews.push((author, post(&shop, author, product, 3).await));
    }
    let mut tasks = JoinSet::new();
    for (author, review) in &reviews {
        let change = update(&shop, *author, Role::Customer, "PATCH", review);
        tasks.spawn(answer(change.json(&json!({"rating": 1}))));
        let body = json!({"rating": 5, "text": "Meanwhile."});
        tasks.spawn(answer(posting(&shop, UserId::new(), product, &body)));
    }
    let event = shop.publish(&gone(product)).await;
    let done = tasks.join_all().await;
    let known = [200, 201, 404];
    assert!(done.iter().all(|(status, _)| known.contains(&status.as_u16())), "{done:?}");
    took_effect(&shop, event).await;
    assert_eq!(stored_and_true(&shop, product).await, [(0, 0); 2]);
}

#[tokio::test]
async fn sums_are_told_with_a_version_that_grows() {
    let shop = start(&Orders::delivered().await).await;
    let product = ProductId::new();
    for rating in [5, 4, 3] {
        post(&shop, UserId::new(), product, rating).await;
    }
    let told = "SELECT payload FROM outbox ORDER BY seq";
    let told: Vec<serde_json::Value> =
        sqlx::query_scalar(told).fetch_all(shop.pool()).await.unwrap();
    let told = told.into_iter().map(|event| serde_json::from_value(event).unwrap());
    let told: Vec<_> = told.map(|ReviewPosted { version, sum, .. }| (version, sum)).collect();
    assert_eq!(told, [(Some(1), 5), (Some(2), 9), (Some(3), 12)]);
}
