//! How administrators tend the tree of categories.

use contracts::UserId;
use kit::auth::Role;
use kit::testing::Running;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::search::names;
use crate::{add, answer, start};

const CATEGORIES: &str = "/api/v1/categories";

fn request(shop: &Running, role: Role, method: &str, slug: &str, version: i64) -> RequestBuilder {
    let path = format!("{CATEGORIES}/{slug}");
    let version = format!("\"{version}\"");
    shop.request_as(UserId::new(), &[role], method, &path).header("If-Match", version)
}

async fn create(shop: &Running, body: Value) -> (StatusCode, Value) {
    let request = shop.request_as(UserId::new(), &[Role::Admin], "POST", CATEGORIES);
    answer(request.json(&body)).await
}

async fn change(shop: &Running, slug: &str, version: i64, body: Value) -> (StatusCode, Value) {
    answer(request(shop, Role::Admin, "PATCH", slug, version).json(&body)).await
}

async fn remove(shop: &Running, slug: &str, version: i64) -> (StatusCode, Value) {
    answer(request(shop, Role::Admin, "DELETE", slug, version)).await
}

#[tokio::test]
async fn categories_are_made_renamed_and_moved_with_what_is_in_them() {
    let shop = start(&[]).await;
    let body = json!({"slug": "tea-mugs", "name": "Tea mugs", "parent": "mugs"});
    let created = shop.request_as(UserId::new(), &[Role::Admin], "POST", CATEGORIES).json(&body);
    let created = created.send().await.unwrap();
    assert_eq!(created.status(), 201);
    assert_eq!(created.headers()["etag"], "\"1\"");
    assert_eq!(created.headers()["location"], "/api/v1/categories/tea-mugs");
    let category: Value = created.json().await.unwrap();
    assert_eq!(
        category,
        json!({"slug": "tea-mugs", "name": "Tea mugs", "parent": "mugs", "version": 1})
    );
    add(&shop, UserId::new(), json!({"category": "tea-mugs"})).await;
    assert_eq!(names(&shop, "category=things").await.len(), 1);

    let (status, moved) = change(&shop, "mugs", 1, json!({"parent": "books"})).await;
    assert_eq!((status.as_u16(), &moved["version"]), (200, &json!(2)), "{moved}");
    assert!(names(&shop, "category=things").await.is_empty());
    assert_eq!(names(&shop, "category=books").await.len(), 1);
    let (_, renamed) = change(&shop, "mugs", 2, json!({"name": "Cups"})).await;
    let expected = json!({"slug": "mugs", "name": "Cups", "parent": "books", "version": 3});
    assert_eq!(renamed, expected, "what is absent stays");
    let (_, root) = change(&shop, "mugs", 3, json!({"parent": null})).await;
    assert_eq!((&root["parent"], &root["name"]), (&Value::Null, &json!("Cups")));
    let same = change(&shop, "mugs", 4, json!({"name": "Cups"})).await.1;
    assert_eq!(same, root, "nothing to change, nothing changed");

    let shown = shop.request("GET", "/api/v1/categories/mugs").send().await.unwrap();
    assert_eq!(shown.headers()["etag"], "\"4\"");
    assert_eq!(shown.json::<Value>().await.unwrap(), root);
    assert_eq!(answer(shop.request("GET", "/api/v1/categories/none")).await.0, 404);
}

#[tokio::test]
async fn no_category_becomes_a_part_of_itself() {
    let shop = start(&[]).await;
    create(&shop, json!({"slug": "tea-mugs", "name": "Tea mugs", "parent": "mugs"})).await;
    for parent in ["things", "mugs", "tea-mugs"] {
        let (status, problem) = change(&shop, "things", 1, json!({"parent": parent})).await;
        assert_eq!(status, 422, "{parent}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], "/parent");
    }
}

/// Each move is allowed until the other is done.
#[tokio::test]
async fn of_two_moves_into_each_other_one_is_refused() {
    let shop = start(&[]).await;
    for turn in 0..5 {
        for side in ["a", "b"] {
            create(&shop, json!({"slug": format!("{side}{turn}"), "name": side})).await;
        }
        let (a, b) = (format!("a{turn}"), format!("b{turn}"));
        let (one, other) = tokio::join!(
            change(&shop, &a, 1, json!({"parent": b})),
            change(&shop, &b, 1, json!({"parent": a})),
        );
        let mut statuses = [one.0.as_u16(), other.0.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 422]);
    }
}

#[tokio::test]
async fn only_what_is_empty_is_deleted() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    assert_eq!(remove(&shop, "books", 2).await.0, 412);
    assert_eq!(remove(&shop, "books", 1).await.0, 204);
    assert_eq!(remove(&shop, "books", 1).await.0, 404);
    add(&shop, seller, json!({"category": "mugs"})).await;
    for slug in ["things", "mugs"] {
        let (status, problem) = remove(&shop, slug, 1).await;
        assert_eq!(status, 409, "{slug}: {problem}");
        assert_eq!(problem["type"], "/problems/conflict");
    }
}

#[tokio::test]
async fn administrators_alone_tend_the_tree() {
    let shop = start(&[]).await;
    let body = json!({"slug": "new", "name": "New"});
    assert_eq!(answer(shop.request("POST", CATEGORIES).json(&body)).await.0, 401);
    for role in [Role::Customer, Role::Seller] {
        let create = shop.request_as(UserId::new(), &[role], "POST", CATEGORIES).json(&body);
        assert_eq!(answer(create).await.0, 403);
        for method in ["PATCH", "DELETE"] {
            let request = request(&shop, role, method, "mugs", 1).json(&json!({"name": "Cups"}));
            assert_eq!(answer(request).await.0, 403, "{method}");
        }
    }
    for method in ["PATCH", "DELETE"] {
        let path = format!("{CATEGORIES}/mugs");
        let blind = shop.request_as(UserId::new(), &[Role::Admin], method, &path);
        assert_eq!(answer(blind.json(&json!({"name": "Cups"}))).await.0, 428, "{method}");
        let unknown = request(&shop, Role::Admin, method, "none", 1).json(&json!({"name": "Cups"}));
        assert_eq!(answer(unknown).await.0, 404, "{method}");
    }
    assert_eq!(change(&shop, "mugs", 7, json!({"name": "Cups"})).await.0, 412);
}

#[tokio::test]
async fn bad_categories_are_refused_with_the_field() {
    let shop = start(&[]).await;
    for (body, pointer) in [
        (json!({"slug": "", "name": "New"}), "/slug"),
        (json!({"slug": "New", "name": "New"}), "/slug"),
        (json!({"slug": "a--b", "name": "New"}), "/slug"),
        (json!({"slug": "-a", "name": "New"}), "/slug"),
        (json!({"slug": "é", "name": "New"}), "/slug"),
        (json!({"slug": "a\n", "name": "New"}), "/slug"),
        (json!({"slug": "x".repeat(101), "name": "New"}), "/slug"),
        (json!({"slug": "new", "name": " "}), "/name"),
        (json!({"slug": "new", "name": "x".repeat(101)}), "/name"),
        (json!({"slug": "new", "name": "New", "parent": "none"}), "/parent"),
        (json!({"slug": "new", "name": "New", "parent": "new"}), "/parent"),
        (json!({"slug": "new", "name": "New", "version": 7}), "/version"),
    ] {
        let (status, problem) = create(&shop, body.clone()).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    for (body, pointer) in [
        (json!({"name": null}), "/name"),
        (json!({"name": ""}), "/name"),
        (json!({"parent": "none"}), "/parent"),
        (json!({"parent": 7}), "/parent"),
        (json!({"slug": "cups"}), "/slug"),
    ] {
        let (status, problem) = change(&shop, "mugs", 1, body.clone()).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    assert_eq!(create(&shop, json!({"slug": "a\0", "name": "New"})).await.0, 400);
    let (status, problem) = create(&shop, json!({"slug": "mugs", "name": "Mugs"})).await;
    assert_eq!((status.as_u16(), &problem["type"]), (409, &json!("/problems/slug-taken")));
}
