//! What reviews add up to.

use contracts::events::ReviewPosted;
use contracts::proto::review::reviews_client::ReviewsClient;
use contracts::proto::review::{GetRatingsRequest, Rating};
use contracts::{ProductId, UserId};
use kit::auth::Role;
use kit::grpc::Peer;
use kit::testing::Running;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::orders::Orders;
use crate::{answer, answer_when_available, post, posting, rating, start, update};

async fn ratings(shop: &Running, product_ids: Vec<String>) -> Result<Vec<Rating>, Status> {
    let peer: Peer = format!("http://{}", shop.bound.grpc).parse().unwrap();
    let request = GetRatingsRequest { product_ids };
    let answer = ReviewsClient::new(peer.client()).get_ratings(request).await;
    answer.map(|answer| answer.into_inner().ratings)
}

/// Count and sum as stored, and as the reviews themselves say that are not hidden.
pub(crate) async fn stored_and_true(shop: &Running, product: ProductId) -> [(i64, i64); 2] {
    let tally = "SELECT count, sum FROM product_ratings WHERE product_id = $1";
    let truth = "SELECT count(*), coalesce(sum(rating), 0)::bigint FROM reviews
                 WHERE product_id = $1 AND hidden_at IS NULL";
    let stored = sqlx::query_as(tally).bind(product.uuid()).fetch_one(shop.pool()).await.unwrap();
    let truth = sqlx::query_as(truth).bind(product.uuid()).fetch_one(shop.pool()).await.unwrap();
    [stored, truth]
}

#[tokio::test]
async fn the_average_is_null_without_reviews_and_follows_them() {
    let shop = start(&Orders::delivered().await).await;
    let product = ProductId::new();
    let expect = async |average: Value, count: u32| {
        let expected = json!({"average": average, "count": count});
        assert_eq!(rating(&shop, product).await, expected);
    };
    expect(Value::Null, 0).await;
    let user = UserId::new();
    let review = post(&shop, user, product, 5).await;
    expect(json!(5.0), 1).await;
    post(&shop, UserId::new(), product, 4).await;
    post(&shop, UserId::new(), product, 4).await;
    expect(json!(4.33), 3).await;

    let change = update(&shop, user, Role::Customer, "PATCH", &review).json(&json!({"rating": 1}));
    let (_, review) = answer(change).await;
    expect(json!(3.0), 3).await;
    assert_eq!(last_told(&shop).await, (3, 9));

    let remove = update(&shop, user, Role::Customer, "DELETE", &review);
    assert_eq!(answer(remove).await.0, 204);
    expect(json!(4.0), 2).await;
    assert_eq!(last_told(&shop).await, (2, 8));
}

/// Count and sum of the last event; telling is in the order of what happened.
pub(crate) async fn last_told(shop: &Running) -> (u32, u64) {
    let told = "SELECT payload FROM outbox ORDER BY seq DESC LIMIT 1";
    let told: Value = sqlx::query_scalar(told).fetch_one(shop.pool()).await.unwrap();
    let told: ReviewPosted = serde_json::from_value(told).unwrap();
    (told.count, told.sum)
}

#[tokio::test]
async fn the_last_review_goes_and_the_average_with_it() {
    let shop = start(&Orders::delivered().await).await;
    let (user, product) = (UserId::new(), ProductId::new());
    let review = post(&shop, user, product, 2).await;
    assert_eq!(answer(update(&shop, user, Role::Customer, "DELETE", &review)).await.0, 204);
    assert_eq!(rating(&shop, product).await, json!({"average": null, "count": 0}));
    assert_eq!(ratings(&shop, vec![product.to_string()]).await.unwrap(), []);
    post(&shop, user, product, 3).await;
    assert_eq!(rating(&shop, product).await, json!({"average": 3.0, "count": 1}));
}

#[tokio::test]
async fn other_services_see_count_and_sum() {
    let shop = start(&Orders::delivered().await).await;
    let (rated, unrated) = (ProductId::new(), ProductId::new());
    post(&shop, UserId::new(), rated, 5).await;
    post(&shop, UserId::new(), rated, 2).await;
    let found = ratings(&shop, vec![rated.to_string(), unrated.to_string()]).await.unwrap();
    assert_eq!(found, [Rating { product_id: rated.to_string(), count: 2, sum: 7 }]);

    let ids = |count| (0..count).map(|_| ProductId::new().to_string()).collect();
    assert_eq!(ratings(&shop, ids(500)).await.unwrap(), []);
    let status = ratings(&shop, ids(501)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = ratings(&shop, vec!["mug".to_owned()]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn many_at_once_keep_count_and_sum_right() {
    let shop = start(&Orders::delivered().await).await;
    let product = ProductId::new();
    let mut posts = JoinSet::new();
    for index in 0..30_u8 {
        let body = json!({"rating": index % 5 + 1, "text": "At once."});
        posts.spawn(answer_when_available(posting(&shop, UserId::new(), product, &body)));
    }
    let statuses = posts.join_all().await;
    assert!(statuses.iter().all(|(status, _)| *status == 201), "{statuses:?}");
    assert_eq!(stored_and_true(&shop, product).await, [(30, 90); 2]);

    // The same person twice at once: one review, counted once.
    let user = UserId::new();
    let body = json!({"rating": 5, "text": "Twice."});
    let (one, other) = tokio::join!(
        answer_when_available(posting(&shop, user, product, &body)),
        answer_when_available(posting(&shop, user, product, &body)),
    );
    let mut both = [one.0.as_u16(), other.0.as_u16()];
    both.sort_unstable();
    assert_eq!(both, [201, 409]);
    assert_eq!(stored_and_true(&shop, product).await, [(31, 95); 2]);

    // Changes and removals at once with new ones.
    let mut changes = JoinSet::new();
    for (_, review) in &statuses {
        let author = review["user_id"].as_str().unwrap().parse().unwrap();
        let removed = review["rating"] == 3;
        let method = if removed { "DELETE" } else { "PATCH" };
        let request = update(&shop, author, Role::Customer, method, review);
        changes.spawn(answer_when_available(request.json(&json!({"rating": 2}))));
        let body = json!({"rating": 4, "text": "Meanwhile."});
        changes.spawn(answer_when_available(posting(&shop, UserId::new(), product, &body)));
    }
    let statuses = changes.join_all().await;
    assert!(statuses.iter().all(|(status, _)| status.is_success()), "{statuses:?}");
    // 24 changed to 2, 6 removed, one 5 from before, 30 new ones.
    assert_eq!(stored_and_true(&shop, product).await, [(55, 24 * 2 + 5 + 30 * 4); 2]);
}
