//! Reviews that people report and administrators hide.

use contracts::{ProductId, ReviewId, UserId};
use kit::auth::Role;
use kit::testing::Running;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::catalog::Catalog;
use crate::orders::Orders;
use crate::ratings::{last_told, stored_and_true};
use crate::{
    answer, of_product, path, post, posting, rating, read, start, start_with, update, update_part,
};

const REPORTED: &str = "/api/v1/reviews/reported";

async fn report(shop: &Running, user: UserId, review: &Value, body: &Value) -> (StatusCode, Value) {
    let path = path(review) + "/reports";
    answer(shop.request_as(user, &[Role::Customer], "POST", &path).json(body)).await
}

async fn reported(shop: &Running, query: &str) -> Value {
    let path = format!("{REPORTED}{query}");
    let (status, page) = answer(shop.request_as(UserId::new(), &[Role::Admin], "GET", &path)).await;
    assert_eq!(status, 200, "{page}");
    page
}

fn ids(page: &Value) -> Vec<&Value> {
    page["items"].as_array().unwrap().iter().map(|item| &item["review"]["id"]).collect()
}

async fn hide(shop: &Running, review: &Value) -> Value {
    let path = path(review) + "/hidden";
    let (status, hidden) =
        answer(shop.request_as(UserId::new(), &[Role::Admin], "PUT", &path)).await;
    assert_eq!(status, 200, "{hidden}");
    hidden
}

#[tokio::test]
async fn everybody_reports_a_review_once() {
    let shop = start(&Orders::delivered().await).await;
    let author = UserId::new();
    let review = post(&shop, author, ProductId::new(), 1).await;
    let spam = json!({"reason": "spam"});
    let reporter = UserId::new();
    let (status, told) = report(&shop, reporter, &review, &spam).await;
    assert_eq!((status.as_u16(), &told["user_id"]), (201, &json!(reporter)), "{told}");
    let (status, problem) = report(&shop, reporter, &review, &spam).await;
    assert_eq!((status.as_u16(), &problem["type"]), (409, &json!("/problems/report-exists")));
    assert_eq!(report(&shop, author, &review, &spam).await.0, 403, "the author's own");
    let guest = shop.request("POST", &(path(&review) + "/reports")).json(&spam);
    assert_eq!(answer(guest).await.0, 401);
    let unknown = json!({"id": ReviewId::new()});
    assert_eq!(report(&shop, reporter, &unknown, &spam).await.0, 404);

    let other = UserId::new();
    for (body, pointer) in [
        (json!({"reason": "boring"}), "/reason"),
        (json!({}), ""),
        (json!({"reason": "other"}), "/text"),
        (json!({"reason": "spam", "text": " "}), "/text"),
        (json!({"reason": "spam", "text": "é".repeat(1001)}), "/text"),
        (json!({"reason": "spam", "user_id": author}), "/user_id"),
    ] {
        let (status, problem) = report(&shop, other, &review, &body).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let nul = json!({"reason": "other", "text": "a\0b"});
    assert_eq!(report(&shop, other, &review, &nul).await.0, 400);
    let body = json!({"reason": "other", "text": "é".repeat(1000)});
    let (one, twice) =
        tokio::join!(report(&shop, other, &review, &body), report(&shop, other, &review, &body));
    let mut both = [one.0.as_u16(), twice.0.as_u16()];
    both.sort_unstable();
    assert_eq!(both, [201, 409]);
    assert_eq!(read(&shop, author, Role::Customer, &review).await.1, review, "nothing to be seen");
}

#[tokio::test]
async fn reported_reviews_are_listed_until_somebody_decides() {
    let shop = start(&Orders::delivered().await).await;
    let mut reviews = Vec::new();
    for _ in 0..3 {
        let review = post(&shop, UserId::new(), ProductId::new(), 1).await;
        report(&shop, UserId::new(), &review, &json!({"reason": "untrue"})).await;
        reviews.push(review);
    }
    post(&shop, UserId::new(), ProductId::new(), 1).await;
    let [first, second, third] = reviews.as_slice() else { unreachable!() };
    let body = json!({"reason": "spam", "text": "Buy this instead."});
    report(&shop, UserId::new(), first, &body).await;
    let again = report(&shop, UserId::new(), first, &body).await.1;

    let page = reported(&shop, "?limit=2").await;
    assert_eq!(ids(&page), [&first["id"], &third["id"]], "the latest report first");
    assert_eq!((&page["items"][0]["review"], &page["items"][0]["reports"]), (first, &json!(3)));
    assert_eq!(page["items"][0]["reasons"], json!(["spam", "untrue"]));
    assert_eq!(page["items"][0]["latest_report"], again["id"]);
    let rest = format!("?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = reported(&shop, &rest).await;
    assert_eq!((ids(&rest), &rest["next_cursor"]), (vec![&second["id"]], &Value::Null));

    let told = path(first) + "/reports";
    let ask = |query: &str| {
        shop.request_as(UserId::new(), &[Role::Admin], "GET", &format!("{told}{query}"))
    };
    let (_, page) = answer(ask("?limit=1")).await;
    assert_eq!(page["items"], json!([again]));
    let cursor = page["next_cursor"].as_str().unwrap();
    let (_, page) = answer(ask(&format!("?cursor={cursor}"))).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 2);

    // One is hidden, one is kept as it is; then somebody else reports the one that was kept.
    hide(&shop, first).await;
    let keep = update_part(&shop, UserId::new(), Role::Admin, "DELETE", second, "/hidden");
    let (status, kept) = answer(keep).await;
    assert_eq!((status.as_u16(), &kept), (200, second), "nothing else than before");
    assert_eq!(ids(&reported(&shop, "").await), [&third["id"]]);
    assert_eq!(ids(&reported(&shop, "?decided=true").await), [&first["id"], &second["id"]]);
    report(&shop, UserId::new(), second, &json!({"reason": "offensive"})).await;
    assert_eq!(ids(&reported(&shop, "").await), [&second["id"], &third["id"]]);
}

#[tokio::test]
async fn only_administrators_moderate() {
    let shop = start(&Orders::delivered().await).await;
    let (author, product) = (UserId::new(), ProductId::new());
    let review = post(&shop, author, product, 1).await;
    let (hidden, reports) = (path(&review) + "/hidden", path(&review) + "/reports");
    for (method, path) in
        [("GET", REPORTED), ("GET", &reports), ("PUT", &hidden), ("DELETE", &hidden)]
    {
        for role in [Role::Customer, Role::Seller] {
            let request = shop.request_as(author, &[role], method, path);
            assert_eq!(answer(request.header("If-Match", "\"1\"")).await.0, 403, "{method} {path}");
        }
        assert_eq!(answer(shop.request(method, path).header("If-Match", "\"1\"")).await.0, 401);
    }
    let admin = |method, path: &str| shop.request_as(UserId::new(), &[Role::Admin], method, path);
    assert_eq!(answer(admin("DELETE", &hidden)).await.0, 428, "no If-Match");
    for part in ["hidden", "reports"] {
        let path = format!("/api/v1/reviews/{}/{part}", ReviewId::new());
        let method = if part == "hidden" { "PUT" } else { "GET" };
        assert_eq!(answer(admin(method, &path)).await.0, 404, "{part}");
    }
    for bad in ["limit=1000000000", "limit=0", "page=0", "cursor=x", "sort=id", "decided=perhaps"] {
        assert_eq!(answer(admin("GET", &format!("{REPORTED}?{bad}"))).await.0, 400, "{bad}");
    }
    assert_eq!(read(&shop, author, Role::Customer, &review).await.1, review);
}

#[tokio::test]
async fn a_hidden_review_is_its_authors_alone_and_does_not_count() {
    let (seller, product, author) = (UserId::new(), ProductId::new(), UserId::new());
    let shop = start_with(&Orders::delivered().await, &Catalog::of(product, seller).await).await;
    let review = post(&shop, author, product, 1).await;
    let good = post(&shop, UserId::new(), product, 5).await;
    let hidden = hide(&shop, &review).await;
    assert_eq!((&hidden["hidden"], &hidden["version"]), (&json!(true), &json!(2)));
    assert_eq!(rating(&shop, product).await, json!({"average": 5.0, "count": 1}));
    assert_eq!(last_told(&shop).await, (1, 5));
    assert_eq!(hide(&shop, &review).await, hidden, "hidden is hidden");
    assert_eq!(stored_and_true(&shop, product).await, [(1, 5); 2]);

    assert_eq!(answer(shop.request("GET", &path(&review))).await.0, 404, "a guest");
    for (who, role, sees) in [
        (UserId::new(), Role::Customer, false),
        (seller, Role::Seller, false),
        (author, Role::Customer, true),
        (UserId::new(), Role::Admin, true),
    ] {
        let (status, seen) = read(&shop, who, role, &review).await;
        assert_eq!(status.is_success(), sees, "{role:?}: {seen}");
        let list = shop.request_as(who, &[role], "GET", &of_product(product));
        let expected = if sees { json!([good, hidden]) } else { json!([good]) };
        assert_eq!(answer(list).await.1["items"], expected, "{role:?}");
    }
    let spam = json!({"reason": "spam"});
    assert_eq!(report(&shop, UserId::new(), &review, &spam).await.0, 404, "not seen, not reported");
    let request = update_part(&shop, seller, Role::Seller, "PUT", &hidden, "/answer");
    assert_eq!(answer(request.json(&json!({"text": "Hm."}))).await.0, 404, "nor answered");

    let restore = |version: &Value| {
        answer(update_part(&shop, UserId::new(), Role::Admin, "DELETE", version, "/hidden"))
    };
    assert_eq!(restore(&review).await.0, 412, "as it was before");
    let (status, shown) = restore(&hidden).await;
    assert_eq!((status.as_u16(), &shown["hidden"]), (200, &json!(false)));
    assert_eq!(last_told(&shop).await, (2, 6));
    assert_eq!(answer(shop.request("GET", &path(&review))).await.1, shown);
    assert_eq!(stored_and_true(&shop, product).await, [(2, 6); 2]);
}

#[tokio::test]
async fn an_author_cannot_evade() {
    let shop = start(&Orders::delivered().await).await;
    let (author, product) = (UserId::new(), ProductId::new());
    let review = post(&shop, author, product, 1).await;
    let hidden = hide(&shop, &review).await;
    let change = json!({"rating": 5, "text": "Somebody else's secrets."});
    let edit = update(&shop, author, Role::Customer, "PATCH", &hidden).json(&change);
    let (status, edited) = answer(edit).await;
    assert_eq!((status.as_u16(), &edited["hidden"]), (200, &json!(true)), "{edited}");
    let unhide = json!({"hidden": false});
    let edit = update(&shop, author, Role::Customer, "PATCH", &edited).json(&unhide);
    assert_eq!(answer(edit).await.0, 422);
    let remove = update(&shop, author, Role::Customer, "DELETE", &edited);
    let (status, problem) = answer(remove).await;
    assert_eq!((status.as_u16(), &problem["type"]), (409, &json!("/problems/review-hidden")));
    let body = json!({"rating": 1, "text": "Once more."});
    assert_eq!(answer(posting(&shop, author, product, &body)).await.0, 409);
    assert_eq!(stored_and_true(&shop, product).await, [(0, 0); 2]);
    let unread = update_part(&shop, UserId::new(), Role::Admin, "DELETE", &hidden, "/hidden");
    assert_eq!(answer(unread).await.0, 412, "nobody shows a text unread");
    let (_, shown) =
        answer(update_part(&shop, UserId::new(), Role::Admin, "DELETE", &edited, "/hidden")).await;
    assert_eq!(stored_and_true(&shop, product).await, [(1, 5); 2], "as it is now");

    let hidden = hide(&shop, &shown).await;
    let by_admin = update(&shop, UserId::new(), Role::Admin, "DELETE", &hidden);
    assert_eq!(answer(by_admin).await.0, 204);
    assert_eq!(stored_and_true(&shop, product).await, [(0, 0); 2], "it had not counted");
    post(&shop, author, product, 3).await;
}

/// Authors change and remove, administrators hide and show, all at once.
#[tokio::test]
async fn whatever_is_decided_at_once_the_sums_are_exact() {
    let shop = start(&Orders::delivered().await).await;
    let product = ProductId::new();
    let mut reviews = Vec::new();
    for rating in 0..8 {
        reviews.push((post(&shop, UserId::new(), product, rating % 5 + 1).await, rating));
    }
    let mut tasks = JoinSet::new();
    for (review, number) in &reviews {
        let author: UserId = review["user_id"].as_str().unwrap().parse().unwrap();
        let change = update(&shop, author, Role::Customer, "PATCH", review);
        tasks.spawn(answer(change.json(&json!({"rating": number % 3 + 1}))));
        for method in ["PUT", "DELETE", "PUT"] {
            let part = update_part(&shop, UserId::new(), Role::Admin, method, review, "/hidden");
            tasks.spawn(answer(part));
        }
        if number % 4 == 0 {
            tasks.spawn(answer(update(&shop, author, Role::Customer, "DELETE", review)));
        }
    }
    let done = tasks.join_all().await;
    // On a slow machine some of them may wait too long for a connection; that is no harm.
    assert!(done.iter().all(|(status, _)| *status != 500), "{done:?}");
    let [stored, truth] = stored_and_true(&shop, product).await;
    assert_eq!(stored, truth);
    for (review, _) in &reviews {
        let admin =
            shop.request_as(UserId::new(), &[Role::Admin], "PUT", &(path(review) + "/hidden"));
        let status = answer(admin).await.0;
        assert!(status == 200 || status == 404, "{status}");
    }
    assert_eq!(stored_and_true(&shop, product).await, [(0, 0); 2]);
}
