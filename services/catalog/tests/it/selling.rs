//! What sellers may write, and what is refused.

use contracts::UserId;
use contracts::events::{ProductCreated, ProductUpdated};
use kit::auth::Role;
use kit::testing::Running;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{add, answer, described, id, patch, path, show, start};

const PRODUCTS: &str = "/api/v1/products";

fn update(
    shop: &Running,
    user: UserId,
    role: Role,
    method: &str,
    product: &Value,
) -> RequestBuilder {
    let version = format!("\"{}\"", product["version"]);
    shop.request_as(user, &[role], method, &path(product)).header("If-Match", version)
}

#[tokio::test]
async fn a_new_product_is_shown_and_told() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let body = described(&json!({"description": "Red.", "attributes": {"colour": "red"}}));
    let request = shop.request_as(seller, &[Role::Seller], "POST", PRODUCTS).json(&body);
    let created = request.send().await.unwrap();
    assert_eq!(created.status(), 201);
    assert_eq!(created.headers()["etag"], "\"1\"");
    let location = created.headers()["location"].to_str().unwrap().to_owned();
    let product: Value = created.json().await.unwrap();
    assert_eq!(location, path(&product));
    assert_eq!(product["seller_id"], seller.to_string());
    for field in ["sku", "name", "description", "price", "attributes", "category"] {
        assert_eq!(product[field], body[field]);
    }
    assert_eq!(id(&product).uuid().get_version_num(), 7);

    let shown = shop.request("GET", &location).send().await.unwrap();
    assert_eq!(shown.headers()["etag"], "\"1\"");
    assert_eq!(shown.json::<Value>().await.unwrap(), product);

    let event: ProductCreated = shop.published(id(&product).uuid()).await;
    assert_eq!(event.sku.as_str(), product["sku"]);
    assert_eq!(event.price.amount, 990);
    assert_eq!(event.seller_id, seller);
    assert!(shop.metrics().await.contains("\nproducts_created_total "));
}

#[tokio::test]
async fn bad_products_are_refused_with_the_field() {
    let shop = start(&[]).await;
    let price = |amount: Value, currency: &str| json!({"amount": amount, "currency": currency});
    for (fields, pointer) in [
        (json!({"price": price(json!(-1), "EUR")}), "/price/amount"),
        (json!({"price": price(json!(0), "EUR")}), "/price/amount"),
        (json!({"price": price(json!(i64::MAX), "EUR")}), "/price/amount"),
        (json!({"price": price(json!(1.5), "EUR")}), "/price/amount"),
        (json!({"price": price(json!(9_223_372_036_854_775_808_u64), "EUR")}), "/price/amount"),
        (json!({"price": price(json!(1), "XXX")}), "/price/currency"),
        (json!({"price": price(json!(1), "USD")}), "/price/currency"),
        (json!({"sku": "red mug"}), "/sku"),
        (json!({"name": ""}), "/name"),
        (json!({"name": "  "}), "/name"),
        (json!({"name": "x".repeat(201)}), "/name"),
        (json!({"description": "x".repeat(5001)}), "/description"),
        (json!({"attributes": {"colour": "x".repeat(201)}}), "/attributes"),
        (json!({"attributes": {"": "red"}}), "/attributes"),
        (json!({"attributes": {"colour": 7}}), "/attributes/colour"),
        (json!({"category": "nothing"}), "/category"),
        (json!({"seller_id": UserId::new()}), "/seller_id"),
    ] {
        let request = shop.request_as(UserId::new(), &[Role::Seller], "POST", PRODUCTS);
        let (status, problem) = answer(request.json(&described(&fields))).await;
        assert_eq!(status, 422, "{fields}: {problem}");
        let errors = problem["errors"].as_array().unwrap();
        assert!(errors.iter().any(|error| error["pointer"] == pointer), "{fields}: {problem}");
    }
    let request = shop.request_as(UserId::new(), &[Role::Seller], "POST", PRODUCTS);
    let (status, problem) = answer(request.json(&described(&json!({"name": "a\0b"})))).await;
    assert_eq!(status, 400, "{problem}");
}

#[tokio::test]
async fn only_sellers_sell() {
    let shop = start(&[]).await;
    let body = described(&json!({}));
    let (status, _) = answer(shop.request("POST", PRODUCTS).json(&body)).await;
    assert_eq!(status, 401);
    let customer = shop.request_as(UserId::new(), &[Role::Customer], "POST", PRODUCTS);
    assert_eq!(answer(customer.json(&body)).await.0, 403);
    let admin = shop.request_as(UserId::new(), &[Role::Admin], "POST", PRODUCTS);
    assert_eq!(answer(admin.json(&body)).await.0, 201);
    let again = shop.request_as(UserId::new(), &[Role::Seller], "POST", PRODUCTS);
    let (status, problem) = answer(again.json(&body)).await;
    assert_eq!(status, 409);
    assert_eq!(problem["type"], "/problems/sku-taken");
}

#[tokio::test]
async fn changes_need_the_version_and_the_right_seller() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let change = json!({"name": "Blue Mug"});
    for method in ["PATCH", "DELETE"] {
        let foreign = update(&shop, UserId::new(), Role::Seller, method, &product).json(&change);
        assert_eq!(answer(foreign).await.0, 403, "{method}: another seller");
        let demoted = update(&shop, seller, Role::Customer, method, &product).json(&change);
        assert_eq!(answer(demoted).await.0, 403, "{method}: a seller no longer");
        let blind = shop.request_as(seller, &[Role::Seller], method, &path(&product)).json(&change);
        assert_eq!(answer(blind).await.0, 428, "{method}: no If-Match");
        let unknown = json!({"id": UserId::new(), "version": 1});
        let nowhere = update(&shop, seller, Role::Seller, method, &unknown).json(&change);
        assert_eq!(answer(nowhere).await.0, 404, "{method}: no such product");
    }
    let changed = patch(&shop, seller, &product, change.clone()).await;
    assert_eq!((&changed["name"], &changed["version"]), (&json!("Blue Mug"), &json!(2)));
    assert_eq!(changed["price"], product["price"], "what is absent stays");
    for method in ["PATCH", "DELETE"] {
        let stale = update(&shop, seller, Role::Seller, method, &product).json(&change);
        assert_eq!(answer(stale).await.0, 412, "{method}: an old version");
    }
    let same = patch(&shop, seller, &changed, change).await;
    assert_eq!(same, changed, "nothing to change, nothing changed");
    let by_admin = update(&shop, UserId::new(), Role::Admin, "PATCH", &changed);
    assert_eq!(answer(by_admin.json(&json!({"name": "Mug"}))).await.0, 200);

    let event: ProductUpdated = shop.published(id(&product).uuid()).await;
    assert_eq!((event.name.as_str(), event.on_sale), ("Blue Mug", true));
}

#[tokio::test]
async fn bad_changes_are_refused() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    for (change, pointer) in [
        (json!({"name": null}), "/name"),
        (json!({"sku": "OTHER"}), "/sku"),
        (json!({"version": 7}), "/version"),
        (json!({"category": "nothing"}), "/category"),
        (json!({"price": {"amount": -5, "currency": "EUR"}}), "/price/amount"),
        (json!({"price": {"amount": 5, "currency": "USD"}}), "/price/currency"),
    ] {
        let request = update(&shop, seller, Role::Seller, "PATCH", &product).json(&change);
        let (status, problem) = answer(request).await;
        assert_eq!(status, 422, "{change}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{change}: {problem}");
    }
    assert_eq!(show(&shop, &product).await.1, product);
}

#[tokio::test]
async fn of_two_changes_at_once_one_wins() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let change = |name: &str| {
        let request = update(&shop, seller, Role::Seller, "PATCH", &product);
        answer(request.json(&json!({"name": name})))
    };
    let (one, other) = tokio::join!(change("One"), change("Other"));
    let mut statuses = [one.0.as_u16(), other.0.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    assert_eq!(show(&shop, &product).await.1["version"], 2);
}

#[tokio::test]
async fn a_product_that_was_taken_off_sale_is_hidden_until_it_is_back() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    assert_eq!(show(&shop, &product).await.0, 200);
    let hidden = patch(&shop, seller, &product, json!({"on_sale": false})).await;
    assert_eq!(show(&shop, &product).await.0, 404);
    let by =
        async |user, role| answer(shop.request_as(user, &[role], "GET", &path(&product))).await;
    assert_eq!(by(UserId::new(), Role::Seller).await.0, 404);
    assert_eq!(by(UserId::new(), Role::Admin).await.0, 200);
    let (status, seen) = by(seller, Role::Seller).await;
    assert_eq!((status.as_u16(), &seen), (200, &hidden));
    let event: ProductUpdated = shop.published(id(&product).uuid()).await;
    assert!(!event.on_sale);

    patch(&shop, seller, &hidden, json!({"on_sale": true})).await;
    assert_eq!(show(&shop, &product).await.0, 200);
}
