//! Who may write which reviews.

use contracts::events::ReviewPosted;
use contracts::{ProductId, ReviewId, UserId};
use kit::auth::Role;
use reqwest::StatusCode;
use review::Reviews;
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::orders::Orders;
use crate::{answer, of_product, path, post, posting, start, start_with, update};

#[tokio::test]
async fn a_review_is_shown_and_told() {
    let shop = start(&Orders::delivered().await).await;
    let (user, product) = (UserId::new(), ProductId::new());
    let body = json!({"rating": 4, "title": "Good", "text": "Holds coffee."});
    let posted = posting(&shop, user, product, &body).send().await.unwrap();
    assert_eq!(posted.status(), 201);
    assert_eq!(posted.headers()["etag"], "\"1\"");
    let location = posted.headers()["location"].to_str().unwrap().to_owned();
    let review: Value = posted.json().await.unwrap();
    assert_eq!(location, path(&review));
    assert_eq!(review["user_id"], user.to_string());
    assert_eq!(review["product_id"], product.to_string());
    for field in ["rating", "title", "text"] {
        assert_eq!(review[field], body[field]);
    }
    assert_eq!(answer(shop.request("GET", &location)).await, (StatusCode::OK, review.clone()));
    let event: ReviewPosted = shop.published(product.uuid()).await;
    assert_eq!(event.review_id.to_string(), review["id"]);
    assert_eq!((event.count, event.sum), (1, 4));
    assert!(shop.metrics().await.contains("\nreviews_posted_total "));
}

#[tokio::test]
async fn only_buyers_who_have_the_product_review_it() {
    let (user, product) = (UserId::new(), ProductId::new());
    let shop = start(&Orders::delivered_only(user, product).await).await;
    let body = json!({"rating": 5, "text": "Good."});
    for (who, what) in [(UserId::new(), product), (user, ProductId::new())] {
        let (status, problem) = answer(posting(&shop, who, what, &body)).await;
        assert_eq!(status, 403, "{problem}");
        assert_eq!(problem["type"], "/problems/product-not-received");
    }
    let guest = shop.request("POST", &of_product(product)).json(&body);
    assert_eq!(answer(guest).await.0, 401);
    post(&shop, user, product, 5).await;
}

#[tokio::test]
async fn sellers_do_not_review_their_own_products() {
    let (seller, product) = (UserId::new(), ProductId::new());
    let shop = start_with(&Orders::delivered().await, &Catalog::of(product, seller).await).await;
    let body = json!({"rating": 5, "text": "I would buy it again."});
    // A seller who has lost the role, or is an administrator too, still sells it.
    for roles in [&[Role::Seller][..], &[Role::Customer], &[Role::Admin]] {
        let request = shop.request_as(seller, roles, "POST", &of_product(product)).json(&body);
        let (status, problem) = answer(request).await;
        assert_eq!((status.as_u16(), &problem["type"]), (403, &json!("/problems/forbidden")));
    }
    post(&shop, seller, ProductId::new(), 5).await;
    post(&shop, UserId::new(), product, 4).await;
}

/// Of before the rule, or of when another person sold the product.
#[tokio::test]
async fn sellers_do_not_change_reviews_of_their_own_products() {
    let (seller, product) = (UserId::new(), ProductId::new());
    let mut shop = start(&Orders::delivered().await).await;
    let own = post(&shop, seller, product, 2).await;
    let others = post(&shop, UserId::new(), product, 2).await;
    let catalog = Catalog::of(product, seller).await;
    shop.restart::<Reviews>(&[("CATALOG_GRPC_URL", &catalog.url)]).await;
    let better = json!({"rating": 5});
    // An administrator neither, of what they sell: not even another person's.
    for (review, role) in [(&own, Role::Customer), (&own, Role::Admin), (&others, Role::Admin)] {
        let change = update(&shop, seller, role, "PATCH", review).json(&better);
        let (status, problem) = answer(change).await;
        assert_eq!((status.as_u16(), &problem["type"]), (403, &json!("/problems/forbidden")));
    }
    // Others may, and the seller may take their own away.
    let change = update(&shop, UserId::new(), Role::Admin, "PATCH", &others).json(&better);
    assert_eq!(answer(change).await.0, 200);
    assert_eq!(answer(update(&shop, seller, Role::Customer, "DELETE", &own)).await.0, 204);
}

#[tokio::test]
async fn nobody_reviews_while_the_catalog_cannot_be_asked() {
    let shop = start_with(&Orders::delivered().await, &Catalog::away().await).await;
    let body = json!({"rating": 5, "text": "Good."});
    let (status, problem) = answer(posting(&shop, UserId::new(), ProductId::new(), &body)).await;
    assert_eq!(status, 503, "{problem}");
}

#[tokio::test]
async fn nobody_reviews_unseen_while_orders_cannot_be_asked() {
    let shop = start(&Orders::away().await).await;
    let body = json!({"rating": 5, "text": "Good."});
    let (status, problem) = answer(posting(&shop, UserId::new(), ProductId::new(), &body)).await;
    assert_eq!(status, 503, "{problem}");
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM reviews");
    assert_eq!(count.fetch_one(shop.pool()).await.unwrap(), 0);
}

#[tokio::test]
async fn one_review_per_user_and_product() {
    let shop = start(&Orders::delivered().await).await;
    let (user, product) = (UserId::new(), ProductId::new());
    let review = post(&shop, user, product, 5).await;
    let body = json!({"rating": 1, "text": "Again."});
    let (status, problem) = answer(posting(&shop, user, product, &body)).await;
    assert_eq!(status, 409);
    assert_eq!(problem["type"], "/problems/review-exists");
    post(&shop, UserId::new(), product, 4).await;
    post(&shop, user, ProductId::new(), 3).await;

    let remove = update(&shop, user, Role::Customer, "DELETE", &review);
    assert_eq!(answer(remove).await.0, 204);
    post(&shop, user, product, 2).await;
}

#[tokio::test]
async fn bad_reviews_are_refused_with_the_field() {
    let shop = start(&Orders::delivered().await).await;
    for (body, pointer) in [
        (json!({"rating": 0, "text": "x"}), "/rating"),
        (json!({"rating": 6, "text": "x"}), "/rating"),
        (json!({"rating": 4.5, "text": "x"}), "/rating"),
        (json!({"rating": 65_537, "text": "x"}), "/rating"),
        (json!({"rating": 5, "text": ""}), "/text"),
        (json!({"rating": 5, "text": " \n"}), "/text"),
        (json!({"rating": 5, "text": "é".repeat(4001)}), "/text"),
        (json!({"rating": 5, "text": "x", "title": ""}), "/title"),
        (json!({"rating": 5, "text": "x", "title": "x".repeat(201)}), "/title"),
        (json!({"rating": 5, "text": "x", "user_id": UserId::new()}), "/user_id"),
    ] {
        let (status, problem) =
            answer(posting(&shop, UserId::new(), ProductId::new(), &body)).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let nul = json!({"rating": 5, "text": "a\0b"});
    let (status, _) = answer(posting(&shop, UserId::new(), ProductId::new(), &nul)).await;
    assert_eq!(status, 400);
    let longest = json!({"rating": 5, "text": "é".repeat(4000)});
    let (status, _) = answer(posting(&shop, UserId::new(), ProductId::new(), &longest)).await;
    assert_eq!(status, 201);
}

#[tokio::test]
async fn changes_need_the_version_and_the_right_person() {
    let shop = start(&Orders::delivered().await).await;
    let user = UserId::new();
    let review = post(&shop, user, ProductId::new(), 5).await;
    let change = json!({"text": "Broke after a week.", "title": "Hm"});
    for method in ["PATCH", "DELETE"] {
        let foreign = update(&shop, UserId::new(), Role::Seller, method, &review).json(&change);
        assert_eq!(answer(foreign).await.0, 403, "{method}: somebody else's");
        let blind = shop.request_as(user, &[Role::Customer], method, &path(&review));
        assert_eq!(answer(blind.json(&change)).await.0, 428, "{method}: no If-Match");
        let unknown = json!({"id": ReviewId::new(), "version": 1});
        let nowhere = update(&shop, user, Role::Customer, method, &unknown).json(&change);
        assert_eq!(answer(nowhere).await.0, 404, "{method}: no such review");
    }
    let patch = |review: &Value, change: &Value| {
        answer(update(&shop, user, Role::Customer, "PATCH", review).json(change))
    };
    let (status, changed) = patch(&review, &change).await;
    assert_eq!((status.as_u16(), &changed["version"]), (200, &json!(2)), "{changed}");
    assert_eq!((&changed["rating"], &changed["title"]), (&json!(5), &json!("Hm")));
    let (_, untitled) = patch(&changed, &json!({"title": null})).await;
    assert_eq!(untitled["title"], Value::Null);
    assert_eq!(untitled["text"], changed["text"]);
    assert_eq!(patch(&untitled, &json!({})).await.1, untitled, "nothing to change");
    for bad in [json!({"rating": 9}), json!({"text": null}), json!({"product_id": "x"})] {
        assert_eq!(patch(&untitled, &bad).await.0, 422, "{bad}");
    }
    for method in ["PATCH", "DELETE"] {
        let stale = update(&shop, user, Role::Customer, method, &review).json(&change);
        assert_eq!(answer(stale).await.0, 412, "{method}: an old version");
    }
    let by_admin = update(&shop, UserId::new(), Role::Admin, "DELETE", &untitled);
    assert_eq!(answer(by_admin).await.0, 204);
    assert_eq!(answer(shop.request("GET", &path(&review))).await.0, 404);
}
