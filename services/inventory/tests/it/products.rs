//! Whose a SKU is.

use contracts::topics::Aggregate;
use inventory::Inventory;
use kit::auth::Role;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::http::Shop;
use crate::world::{Order, Product, levels, processed, start, supply, until};

/// Whose a SKU is, if it is known.
async fn owner(pool: &PgPool, code: &str) -> Option<Option<Uuid>> {
    sqlx::query_scalar("SELECT product_id FROM stock WHERE sku = $1")
        .bind(code)
        .fetch_optional(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_product_brings_its_skus_along() {
    let shop = Shop::open().await;
    let (running, pool) = (&shop.running, shop.running.pool());
    supply(pool, "MUG-L", 4).await;
    let mut mug = Product::of(&["MUG", "MUG-L"]);
    running.publish(&mug.created()).await;
    processed(running, 1).await;
    assert_eq!(owner(pool, "MUG").await, Some(Some(mug.id.uuid())), "without units so far");
    assert_eq!(owner(pool, "MUG-L").await, Some(Some(mug.id.uuid())));
    assert_eq!(
        (levels(pool, "MUG").await.available, levels(pool, "MUG-L").await.available),
        (0, 4)
    );
    let (_, page) = shop.get(Role::Admin, "/api/v1/stock").await;
    assert_eq!(page["items"][0]["product_id"], json!(mug.id));
    assert_eq!(page["items"][0]["retired"], json!(false));

    // Another size instead: the old one is nobody's, and its units stay.
    mug.skus = Product::of(&["MUG", "MUG-XL"]).skus;
    running.publish(&mug.updated()).await;
    processed(running, 2).await;
    assert_eq!(owner(pool, "MUG-XL").await, Some(Some(mug.id.uuid())));
    assert_eq!(owner(pool, "MUG-L").await, Some(None));
    assert_eq!(levels(pool, "MUG-L").await.available, 4);
    let cup = Product::of(&["CUP", "MUG-L"]);
    running.publish(&cup.created()).await;
    processed(running, 3).await;
    assert_eq!(owner(pool, "MUG-L").await, Some(Some(cup.id.uuid())));
}

#[tokio::test]
async fn no_product_takes_over_a_sku_silently() {
    let running = start().await;
    let pool = running.pool();
    let (mug, thief) = (Product::of(&["MUG"]), Product::of(&["NEW", "MUG"]));
    running.publish(&mug.created()).await;
    processed(&running, 1).await;
    let id = running.publish(&thief.created()).await;
    let reason = running.buried(Aggregate::Product, id).await;
    assert!(reason.contains(&format!("MUG belongs to the product {}", mug.id)), "{reason}");
    assert_eq!(owner(pool, "MUG").await, Some(Some(mug.id.uuid())));
    assert_eq!(owner(pool, "NEW").await, None, "all of the event or nothing");

    // Once the first product has let go, the letter is right.
    let mug = Product { skus: Product::of(&["MUG-2"]).skus, ..mug };
    running.publish(&mug.updated()).await;
    processed(&running, 2).await;
    let said = running.command::<Inventory>("replay").await.unwrap();
    assert!(said.starts_with("1 dead letters have taken effect"), "{said}");
    assert_eq!(owner(pool, "MUG").await, Some(Some(thief.id.uuid())));
}

#[tokio::test]
async fn what_a_deleted_product_leaves_is_the_next_ones() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "MUG", 3).await;
    let (gone, next) = (Product::of(&["MUG"]), Product::of(&["MUG"]));
    running.publish(&gone.created()).await;
    running.publish(&gone.deletion_requested()).await;
    processed(&running, 2).await;
    running.publish(&next.created()).await;
    processed(&running, 3).await;
    assert_eq!(owner(pool, "MUG").await, Some(Some(next.id.uuid())));
    let order = Order::of(&[("MUG", 1)]);
    running.publish(&order.placed()).await;
    until(pool, &order, "pending").await;
}

/// The demo's products may be told of before its stock is there, or after.
#[tokio::test]
async fn the_demo_has_its_stock_and_its_products_in_either_order() {
    let running = start().await;
    let pool = running.pool();
    let demo: Vec<_> = contracts::demo::products().into_iter().take(2).collect();
    let [early, late] = demo.as_slice() else { unreachable!() };
    let product =
        |of: &contracts::demo::DemoProduct| Product { id: of.id, ..Product::of(&[&of.sku]) };
    running.publish(&product(early).created()).await;
    processed(&running, 1).await;
    running.seed::<Inventory>().await.unwrap();
    running.publish(&product(late).created()).await;
    processed(&running, 2).await;
    running.seed::<Inventory>().await.unwrap();
    for of in [early, late] {
        assert_eq!(owner(pool, &of.sku).await, Some(Some(of.id.uuid())));
        assert_eq!(levels(pool, &of.sku).await.available, of.stock, "{}", of.sku);
    }
}
