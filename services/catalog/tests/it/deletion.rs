//! The deletion of products, agreed with inventory.

use contracts::events::{
    Event, ProductDeleted, ProductDeletionRequested, ProductDeletionWithdrawn, StockInUse,
    StockRetired,
};
use contracts::proto::catalog::GetProductsRequest;
use contracts::{EventId, ProductId, UserId};
use kit::auth::Role;
use kit::testing::{Running, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cache::held;
use crate::grpc::client;
use crate::search::names;
use crate::{add, answer, described, id, patch, path, show, start};

/// Asks for a product that was just read to be deleted.
async fn delete(shop: &Running, seller: UserId, product: &Value) -> (StatusCode, Value) {
    let version = format!("\"{}\"", product["version"]);
    let request = shop.request_as(seller, &[Role::Seller], "DELETE", &path(product));
    answer(request.header("If-Match", version)).await
}

/// The product as its seller sees it.
async fn read(shop: &Running, seller: UserId, product: &Value) -> (StatusCode, Value) {
    answer(shop.request_as(seller, &[Role::Seller], "GET", &path(product))).await
}

async fn restored(shop: &Running, seller: UserId, product: &Value) -> Value {
    eventually("it is restored", async || {
        let (_, seen) = read(shop, seller, product).await;
        (seen["deletion"]["state"] == "withdrawn").then_some(seen)
    })
    .await
}

async fn took_effect(shop: &Running, event: EventId) {
    eventually("the event has taken effect", async || {
        let noted = "SELECT count(*) FROM inbox WHERE event_id = $1";
        let noted = sqlx::query_scalar(noted).bind(event.uuid()).fetch_one(shop.pool()).await;
        (noted.unwrap_or(0_i64) == 1).then_some(())
    })
    .await;
}

/// Lets the time run out in which inventory is to answer.
async fn pass_the_deadline(shop: &Running) {
    let pass = "UPDATE deletions SET deadline = now() - interval '1 second'";
    sqlx::query(pass).execute(shop.pool()).await.unwrap();
}

async fn told<E: Event>(shop: &Running, product: ProductId) -> i64 {
    let told = "SELECT count(*) FROM outbox WHERE type = $1 AND aggregate_id = $2";
    let told = sqlx::query_scalar(told).bind(E::TYPE).bind(product.uuid());
    told.fetch_one(shop.pool()).await.unwrap()
}

fn kind(sku: &str) -> Value {
    json!({"sku": sku, "name": "red", "price": {"amount": 1, "currency": "EUR"}})
}

#[tokio::test]
async fn a_product_is_gone_when_inventory_agrees() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let variant = format!("{}-RED", ProductId::new().uuid().simple().to_string().to_uppercase());
    let product = add(&shop, seller, json!({"variants": [kind(&variant)]})).await;
    eventually("it is held", async || held(&shop, &product).await).await;
    let product_id = id(&product);
    let (status, deleting) = delete(&shop, seller, &product).await;
    assert_eq!(status, 202, "{deleting}");
    let expected = json!({"state": "deleting", "reason": null, "reserved": null});
    assert_eq!((&deleting["deletion"], &deleting["on_sale"]), (&expected, &json!(false)));

    assert_eq!(show(&shop, &product).await.0, 404, "shoppers see it no more");
    assert!(names(&shop, "").await.is_empty());
    assert_eq!(read(&shop, seller, &product).await, (StatusCode::OK, deleting.clone()));
    let asked: ProductDeletionRequested = shop.published(product_id.uuid()).await;
    let skus: Vec<_> = asked.skus.iter().map(contracts::Sku::as_str).collect();
    let mut all = [product["sku"].as_str().unwrap(), &variant];
    all.sort_unstable();
    assert_eq!(skus, all);
    let change = shop.request_as(seller, &[Role::Seller], "PATCH", &path(&product));
    let change = change.header("If-Match", format!("\"{}\"", deleting["version"]));
    let (status, problem) = answer(change.json(&json!({"on_sale": true}))).await;
    assert_eq!((status.as_u16(), &problem["type"]), (409, &json!("/problems/conflict")));
    assert_eq!(delete(&shop, seller, &deleting).await, (StatusCode::ACCEPTED, deleting));

    let retired = StockRetired { product_id };
    let event = shop.publish(&retired).await;
    shop.publish_as(event, &retired).await;
    let gone: ProductDeleted = shop.published(product_id.uuid()).await;
    assert_eq!(gone.skus, asked.skus);
    took_effect(&shop, shop.publish(&retired).await).await;
    assert_eq!(read(&shop, seller, &product).await.0, 404);
    let ids = vec![product_id.to_string()];
    let found = client(&shop).get_products(GetProductsRequest { ids }).await.unwrap();
    assert!(found.into_inner().products.is_empty());
    assert_eq!(told::<ProductDeletionRequested>(&shop, product_id).await, 1);
    assert_eq!(told::<ProductDeleted>(&shop, product_id).await, 1, "once");
    assert_eq!(told::<ProductDeletionWithdrawn>(&shop, product_id).await, 0);
    // Stock, orders and books still know the SKUs by what they were.
    for sku in all {
        let post = shop.request_as(seller, &[Role::Seller], "POST", "/api/v1/products");
        let (status, problem) = answer(post.json(&described(&json!({"sku": sku})))).await;
        assert_eq!((status.as_u16(), &problem["type"]), (409, &json!("/problems/sku-taken")));
    }
}

#[tokio::test]
async fn a_veto_restores_what_was_before() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    for on_sale in [true, false] {
        let product = add(&shop, seller, json!({"on_sale": on_sale})).await;
        let product_id = id(&product);
        delete(&shop, seller, &product).await;
        let veto = StockInUse { product_id, reserved: 3 };
        let event = shop.publish(&veto).await;
        shop.publish_as(event, &veto).await;
        let restored = restored(&shop, seller, &product).await;
        let why = json!({"state": "withdrawn", "reason": "in_use", "reserved": 3});
        assert_eq!((&restored["deletion"], &restored["on_sale"]), (&why, &json!(on_sale)));
        for field in ["sku", "name", "price", "variants", "attributes", "category", "created_at"] {
            assert_eq!(restored[field], product[field], "{field}");
        }
        let (status, seen) = show(&shop, &product).await;
        assert_eq!(status.is_success(), on_sale);
        assert!(seen.get("deletion").is_none(), "that is the seller's business: {seen}");
        let told_back: ProductDeletionWithdrawn = shop.published(product_id.uuid()).await;
        assert_eq!(told_back.skus.len(), 1);
        took_effect(&shop, event).await;
        assert_eq!(told::<ProductDeletionWithdrawn>(&shop, product_id).await, 1);
        assert_eq!(told::<ProductDeleted>(&shop, product_id).await, 0);

        // It can be changed, and asked for again.
        let changed = patch(&shop, seller, &restored, json!({"description": "Still here."})).await;
        assert_eq!(delete(&shop, seller, &changed).await.0, 202);
        shop.publish(&StockRetired { product_id }).await;
        let _: ProductDeleted = shop.published(product_id.uuid()).await;
    }
}

#[tokio::test]
async fn without_an_answer_in_time_a_product_is_restored_and_a_late_one_deletes_nothing() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let product_id = id(&product);
    delete(&shop, seller, &product).await;
    pass_the_deadline(&shop).await;
    let back = restored(&shop, seller, &product).await;
    let why = json!({"state": "withdrawn", "reason": "no_answer", "reserved": null});
    assert_eq!((&back["deletion"], &back["on_sale"]), (&why, &json!(true)));
    let _: ProductDeletionWithdrawn = shop.published(product_id.uuid()).await;

    // The answer to this request must not be taken for the answer to another.
    let (status, problem) = delete(&shop, seller, &back).await;
    assert_eq!((status.as_u16(), &problem["type"]), (409, &json!("/problems/conflict")));
    took_effect(&shop, shop.publish(&StockRetired { product_id }).await).await;
    assert_eq!(read(&shop, seller, &product).await, (StatusCode::OK, back.clone()), "still there");
    assert_eq!(show(&shop, &product).await.0, 200);
    assert_eq!(told::<ProductDeleted>(&shop, product_id).await, 0);

    assert_eq!(delete(&shop, seller, &back).await.0, 202, "it has been answered");
    shop.publish(&StockInUse { product_id, reserved: 1 }).await;
    assert_eq!(restored(&shop, seller, &product).await["deletion"]["reason"], "in_use");
    pass_the_deadline(&shop).await;
    took_effect(&shop, shop.publish(&StockRetired { product_id }).await).await;
    assert_eq!(read(&shop, seller, &product).await.1["deletion"]["reason"], "in_use", "unasked");
}

#[tokio::test]
async fn a_clock_that_was_set_back_a_day_holds_up_no_deletion_without_an_answer() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    delete(&shop, seller, &product).await;
    let later = "UPDATE deletions SET deadline = deadline + interval '1 day'";
    sqlx::query(later).execute(shop.pool()).await.unwrap();
    let back = restored(&shop, seller, &product).await;
    assert_eq!(back["deletion"]["reason"], "no_answer");
}

#[tokio::test]
async fn an_answer_and_the_deadline_at_once_agree_on_one_end() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let mut products = Vec::new();
    for _ in 0..8 {
        let product = add(&shop, seller, json!({})).await;
        delete(&shop, seller, &product).await;
        products.push(product);
    }
    pass_the_deadline(&shop).await;
    for product in &products {
        shop.publish(&StockRetired { product_id: id(product) }).await;
    }
    for product in &products {
        let product_id = id(product);
        let (deleted, withdrawn) = eventually("it has an end", async || {
            let ends = (
                told::<ProductDeleted>(&shop, product_id).await,
                told::<ProductDeletionWithdrawn>(&shop, product_id).await,
            );
            (ends != (0, 0)).then_some(ends)
        })
        .await;
        assert_eq!(deleted + withdrawn, 1);
        let there = read(&shop, seller, product).await.0 == 200;
        assert_eq!(there, withdrawn == 1);
    }
}

#[tokio::test]
async fn dead_letters_about_deletions_are_replayed() {
    let shop = start(&[]).await;
    let said = shop.command::<catalog::Catalog>("replay").await.unwrap();
    assert_eq!(said, "0 dead letters have taken effect, 0 have not");
}
