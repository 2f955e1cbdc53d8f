//! Kinds of a product that are in stock by themselves.

use contracts::UserId;
use contracts::events::{ProductCreated, ProductUpdated};
use futures_util::future::join_all;
use kit::auth::Role;
use kit::testing::{Running, eventually};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::cache::held;
use crate::search::names;
use crate::{add, answer, described, id, path, show, start};

/// A variant as a seller describes it.
fn kind(sku: &str, name: &str, amount: i64) -> Value {
    json!({"sku": sku, "name": name, "price": {"amount": amount, "currency": "EUR"}})
}

/// A variant as it is shown.
fn shown(sku: &str, name: &str, amount: i64) -> Value {
    let mut shown = kind(sku, name, amount);
    shown["attributes"] = json!({});
    shown
}

fn request(
    shop: &Running,
    seller: UserId,
    method: &str,
    product: &Value,
    part: &str,
) -> RequestBuilder {
    let path = format!("{}/variants{part}", path(product));
    let version = format!("\"{}\"", product["version"]);
    shop.request_as(seller, &[Role::Seller], method, &path).header("If-Match", version)
}

/// Adds a variant to a product that was just read.
async fn add_kind(
    shop: &Running,
    seller: UserId,
    product: &Value,
    kind: &Value,
) -> (StatusCode, Value) {
    answer(request(shop, seller, "POST", product, "").json(kind)).await
}

/// SKUs no other test has.
fn skus<const N: usize>() -> [String; N] {
    let id = UserId::new().uuid().simple().to_string().to_uppercase();
    std::array::from_fn(|index| format!("V-{id}-{index}"))
}

#[tokio::test]
async fn variants_are_added_changed_and_taken_away_as_a_part_of_their_product() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let [red, blue] = skus();
    let product = add(&shop, seller, json!({})).await;
    assert_eq!(product["variants"], json!([]));
    eventually("it is held", async || held(&shop, &product).await).await;

    let answered = request(&shop, seller, "POST", &product, "").json(&kind(&red, "red", 990));
    let answered = answered.send().await.unwrap();
    assert_eq!(answered.status(), 201);
    assert_eq!(answered.headers()["etag"], "\"2\"");
    let product: Value = answered.json().await.unwrap();
    assert_eq!(product["variants"], json!([shown(&red, "red", 990)]));
    assert_eq!(show(&shop, &product).await.1, product, "the cache has let go");
    let event: ProductUpdated = shop.published(id(&product).uuid()).await;
    assert_eq!(event.variants.len(), 1);

    let mut other = kind(&blue, "blue", 1090);
    other["attributes"] = json!({"colour": "blue"});
    let (_, product) = add_kind(&shop, seller, &product, &other).await;
    let change = json!({"name": "dark red", "price": {"amount": 1190, "currency": "EUR"}});
    let part = format!("/{red}");
    let changed = answer(request(&shop, seller, "PATCH", &product, &part).json(&change)).await;
    let product = changed.1;
    assert_eq!((changed.0.as_u16(), &product["version"]), (200, &json!(4)));
    assert_eq!(product["variants"], json!([shown(&red, "dark red", 1190), other]), "in order");
    let (_, page) = answer(shop.request("GET", "/api/v1/products")).await;
    assert_eq!(page["items"][0]["variants"], product["variants"], "lists show them too");

    let stale = json!({"id": product["id"], "version": 3});
    for (method, part) in [("POST", ""), ("PATCH", &*part), ("DELETE", &part)] {
        let body = if method == "POST" { kind("X", "x", 1) } else { json!({"name": "x"}) };
        let old = request(&shop, seller, method, &stale, part).json(&body);
        assert_eq!(answer(old).await.0, 412, "{method}");
        let foreign = request(&shop, UserId::new(), method, &product, part).json(&body);
        assert_eq!(answer(foreign).await.0, 403, "{method}");
        let blind = format!("{}/variants{part}", path(&product));
        let blind = shop.request_as(seller, &[Role::Seller], method, &blind).json(&body);
        assert_eq!(answer(blind).await.0, 428, "{method}");
    }
    for method in ["PATCH", "DELETE"] {
        let own = format!("/{}", product["sku"].as_str().unwrap());
        let nowhere = request(&shop, seller, method, &product, &own).json(&json!({}));
        assert_eq!(answer(nowhere).await.0, 404, "{method}: the product's own SKU");
    }

    let (status, less) = answer(request(&shop, seller, "DELETE", &product, &part)).await;
    assert_eq!((status.as_u16(), &less["variants"]), (200, &json!([other])));
    let told = "SELECT payload FROM outbox ORDER BY seq DESC LIMIT 1";
    let told: Value = sqlx::query_scalar(told).fetch_one(shop.pool()).await.unwrap();
    let told: ProductUpdated = serde_json::from_value(told).unwrap();
    let variants: Vec<_> = told.variants.iter().map(|v| (v.sku.as_str(), v.price.amount)).collect();
    assert_eq!(variants, [(&*blue, 1090)]);
    let again = add_kind(&shop, seller, &less, &kind(&red, "red", 990)).await;
    assert_eq!(again.0, 201, "a product may have its own SKU back");
}

#[tokio::test]
async fn a_product_is_made_with_its_variants() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let [small, large] = skus();
    let variants = json!([kind(&small, "small", 900), kind(&large, "large", 1100)]);
    let product = add(&shop, seller, json!({"variants": variants})).await;
    assert_eq!(
        product["variants"],
        json!([shown(&small, "small", 900), shown(&large, "large", 1100)])
    );
    let event: ProductCreated = shop.published(id(&product).uuid()).await;
    let told: Vec<_> = event.variants.iter().map(|variant| variant.name.as_str()).collect();
    assert_eq!(told, ["small", "large"]);
}

#[tokio::test]
async fn bad_variants_are_refused_with_the_field() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let [first, second] = skus();
    let good = kind(&first, "red", 1);
    let with = |field: &str, value: Value| {
        let mut kind = kind(&second, "blue", 1);
        kind[field] = value;
        kind
    };
    let eleven: Value = (0..11).map(|n| (format!("a{n}"), json!("x"))).collect();
    let product = add(&shop, seller, json!({})).await;
    for (kind, pointer) in [
        (with("name", json!(" red")), "/name"),
        (with("name", json!("x".repeat(201))), "/name"),
        (with("price", json!({"amount": 0, "currency": "EUR"})), "/price/amount"),
        (with("price", json!({"amount": 1, "currency": "USD"})), "/price/currency"),
        (with("attributes", eleven), "/attributes"),
        (with("sku", json!("red mug")), "/sku"),
        (with("on_sale", json!(true)), "/on_sale"),
    ] {
        let (status, problem) = add_kind(&shop, seller, &product, &kind).await;
        assert_eq!(status, 422, "{kind}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        let body = described(&json!({"variants": [good, kind]}));
        let inline = shop.request_as(seller, &[Role::Seller], "POST", "/api/v1/products");
        let (status, problem) = answer(inline.json(&body)).await;
        assert_eq!(status, 422, "{kind}: {problem}");
        let pointer = format!("/variants/1{pointer}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let twice = described(&json!({"variants": [good, good]}));
    let own = described(&json!({"sku": first, "variants": [good]}));
    for (body, pointer) in [(twice, "/variants/1/sku"), (own, "/variants/0/sku")] {
        let inline = shop.request_as(seller, &[Role::Seller], "POST", "/api/v1/products");
        let (status, problem) = answer(inline.json(&body)).await;
        assert_eq!((status.as_u16(), &problem["errors"][0]["pointer"]), (422, &json!(pointer)));
    }

    let prefix = first;
    let many: Vec<_> = (0..100).map(|n| kind(&format!("{prefix}{n}"), "x", 1)).collect();
    let full = add(&shop, seller, json!({"variants": many})).await;
    let (status, problem) = add_kind(&shop, seller, &full, &kind(&second, "x", 1)).await;
    assert_eq!(status, 422, "{problem}");
    let over: Vec<_> = (0..101).map(|n| kind(&format!("{prefix}B{n}"), "x", 1)).collect();
    let inline = shop.request_as(seller, &[Role::Seller], "POST", "/api/v1/products");
    let (status, problem) = answer(inline.json(&described(&json!({"variants": over})))).await;
    assert_eq!((status.as_u16(), &problem["errors"][0]["pointer"]), (422, &json!("/variants")));
}

#[tokio::test]
async fn a_sku_is_one_things_in_the_whole_shop() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let [one, other, free] = skus();
    let first = add(&shop, seller, json!({"variants": [kind(&one, "a", 1)]})).await;
    let second = add(&shop, seller, json!({"sku": other})).await;
    let taken = |(status, problem): (StatusCode, Value)| {
        assert_eq!((status.as_u16(), &problem["type"]), (409, &json!("/problems/sku-taken")));
    };
    let post = |body: Value| {
        answer(shop.request_as(seller, &[Role::Seller], "POST", "/api/v1/products").json(&body))
    };
    taken(add_kind(&shop, seller, &second, &kind(&one, "b", 1)).await);
    taken(add_kind(&shop, seller, &first, &kind(&other, "b", 1)).await);
    taken(add_kind(&shop, seller, &first, &kind(&one, "b", 1)).await);
    taken(add_kind(&shop, seller, &second, &kind(&other, "its own", 1)).await);
    taken(post(described(&json!({"sku": one}))).await);
    taken(post(described(&json!({"variants": [kind(&free, "a", 1), kind(&other, "b", 1)]}))).await);
    // A variant that is gone leaves its SKU to its product: old orders and stock are called by it.
    let (_, first) = answer(request(&shop, seller, "DELETE", &first, &format!("/{one}"))).await;
    taken(add_kind(&shop, seller, &second, &kind(&one, "b", 1)).await);
    assert_eq!(add_kind(&shop, seller, &first, &kind(&one, "b", 1)).await.0, 201);
    // What was refused has taken nothing.
    assert_eq!(add_kind(&shop, seller, &second, &kind(&free, "b", 1)).await.0, 201);
}

#[tokio::test]
async fn of_many_who_want_a_sku_at_once_one_gets_it() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let [wanted, also] = skus();
    let mut products = Vec::new();
    for _ in 0..4 {
        products.push(add(&shop, seller, json!({})).await);
    }
    let (shop, wanted, also) = (&shop, &wanted, &also);
    let kinds = join_all(products.iter().map(|product| async move {
        add_kind(shop, seller, product, &kind(wanted, "x", 1)).await.0.as_u16()
    }));
    // Both SKUs, in either order: nobody waits for somebody who waits for them.
    let inline = join_all((0..4).map(|turn| async move {
        let mut variants = vec![kind(wanted, "x", 1), kind(also, "y", 1)];
        variants.rotate_left(turn % 2);
        let request = shop.request_as(seller, &[Role::Seller], "POST", "/api/v1/products");
        let body = described(&json!({"variants": variants}));
        answer(request.json(&body)).await.0.as_u16()
    }));
    let own = join_all((0..2).map(|_| async move {
        let request = shop.request_as(seller, &[Role::Seller], "POST", "/api/v1/products");
        answer(request.json(&described(&json!({"sku": wanted})))).await.0.as_u16()
    }));
    let (kinds, inline, own) = tokio::join!(kinds, inline, own);
    let statuses = [kinds, inline, own].concat();
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    // On a slow machine some of them may wait too long for a connection; that is no harm.
    assert_eq!((count(201), count(409) + count(503)), (1, 9), "{statuses:?}");
    let having = "SELECT count(*) FROM products
                  WHERE sku = $1 OR variants @> jsonb_build_array(jsonb_build_object('sku', $1::text))";
    let having: i64 = sqlx::query_scalar(having).bind(wanted).fetch_one(shop.pool()).await.unwrap();
    assert_eq!(having, 1);
}

#[tokio::test]
async fn a_search_finds_a_product_by_its_variants() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let [sku, other] = skus();
    let turquoise = kind(&sku, "turquoise, large", 50);
    let product = add(&shop, seller, json!({"name": "Shirt", "variants": [turquoise]})).await;
    add(&shop, seller, json!({"name": "Poster", "description": "In turquoise."})).await;
    assert_eq!(names(&shop, &format!("q={sku}")).await, ["Shirt"]);
    assert_eq!(names(&shop, "q=turquoise").await, ["Shirt", "Poster"], "a name says more");
    assert_eq!(names(&shop, "q=turqoise+large").await, ["Shirt"], "misspelt");
    assert_eq!(names(&shop, "q=shirt+turquoise").await, ["Shirt"]);
    assert!(
        names(&shop, "q=shirt&price_max=500").await.is_empty(),
        "the product's own price counts"
    );
    let (_, product) = add_kind(&shop, seller, &product, &kind(&other, "crimson", 990)).await;
    assert_eq!(names(&shop, "q=crimson").await, ["Shirt"]);
    let (status, _) =
        answer(request(&shop, seller, "DELETE", &product, &format!("/{other}"))).await;
    assert_eq!(status, 200);
    assert!(names(&shop, "q=crimson").await.is_empty());
}
