//! Products that are to be deleted.

use std::time::Duration;

use contracts::events::{StockInUse, StockRejected, StockRetired};
use contracts::proto::inventory::GetStockRequest;
use contracts::proto::inventory::inventory_client::InventoryClient;
use inventory::db;
use inventory::stock::Demand;
use kit::auth::Role;
use kit::grpc::Peer;
use kit::testing::waiting;
use serde_json::json;

use crate::http::Shop;
use crate::world::{Order, Product, all_told, levels, processed, sku, start, supply, until};

async fn seen(shop: &Shop, code: &str) -> i64 {
    let peer: Peer = format!("http://{}", shop.running.bound.grpc).parse().unwrap();
    let request = GetStockRequest { skus: vec![code.to_owned()] };
    let stock = InventoryClient::new(peer.client()).get_stock(request).await.unwrap();
    let by_grpc = stock.into_inner().stock[0].available;
    let path = format!("/api/v1/stock/{code}");
    let (status, by_http) = shop.get(Role::Admin, &path).await;
    assert_eq!((status, &by_http["available"]), (200, &json!(by_grpc)));
    by_grpc
}

#[tokio::test]
async fn stock_of_a_product_that_is_deleted_is_retired_and_comes_back_when_it_is_not() {
    let shop = Shop::open().await;
    let (running, pool) = (&shop.running, shop.running.pool());
    let mug = Product::of(&["MUG", "MUG-L"]);
    supply(pool, "MUG", 5).await;
    supply(pool, "OTHER", 5).await;
    running.publish(&mug.created()).await;
    running.publish(&mug.deletion_requested()).await;
    let retired: StockRetired = running.published(mug.id.uuid()).await;
    assert_eq!(retired.product_id, mug.id);
    assert_eq!(seen(&shop, "MUG").await, 0);
    assert_eq!(seen(&shop, "OTHER").await, 5);
    let order = Order::of(&[("MUG", 1), ("OTHER", 1)]);
    running.publish(&order.placed()).await;
    let rejected: StockRejected = running.published(order.id.uuid()).await;
    let short: Vec<_> = rejected.shortages.iter().map(|s| (s.sku.clone(), s.available)).collect();
    assert_eq!(short, [(sku("MUG"), 0)]);
    let (_, page) = shop.get(Role::Admin, "/api/v1/stock").await;
    assert_eq!(page["items"][0]["available"], json!(5), "staff sees what is in the warehouse");
    assert_eq!(page["items"][0]["retired"], json!(true));

    running.publish(&mug.deletion_requested()).await;
    processed(running, 4).await;
    assert_eq!(all_told::<StockRetired>(pool).await.len(), 2, "asked twice, answered twice");
    for _ in 0..2 {
        running.publish(&mug.deletion_withdrawn()).await;
    }
    processed(running, 6).await;
    assert_eq!(seen(&shop, "MUG").await, 5);
    let order = Order::of(&[("MUG", 1)]);
    running.publish(&order.placed()).await;
    until(pool, &order, "pending").await;
}

#[tokio::test]
async fn what_is_held_for_an_order_vetoes_the_deletion() {
    let shop = Shop::open().await;
    let (running, pool) = (&shop.running, shop.running.pool());
    let mug = Product::of(&["MUG", "MUG-L"]);
    supply(pool, "MUG", 5).await;
    supply(pool, "MUG-L", 5).await;
    // The catalog knows better than inventory, which has not heard of the product, what its SKUs are.
    let order = Order::of(&[("MUG-L", 2)]);
    running.publish(&order.placed()).await;
    until(pool, &order, "pending").await;
    for count in 2..=3 {
        running.publish(&mug.deletion_requested()).await;
        processed(running, count).await;
    }
    let in_use = all_told::<StockInUse>(pool).await;
    assert_eq!(in_use.len(), 2, "asked twice, answered twice");
    assert!(in_use.iter().all(|told| (told.product_id, told.reserved) == (mug.id, 2)));
    assert_eq!((seen(&shop, "MUG").await, seen(&shop, "MUG-L").await), (5, 3), "nothing changes");

    // What was sold has left, and holds up nobody.
    running.publish(&order.paid()).await;
    until(pool, &order, "committed").await;
    running.publish(&mug.deletion_requested()).await;
    let _: StockRetired = running.published(mug.id.uuid()).await;
    // Units that come back then are in the warehouse, and nobody can buy them.
    running.publish(&order.restock_requested()).await;
    until(pool, &order, "returned").await;
    assert_eq!(levels(pool, "MUG-L").await.available, 5);
    assert_eq!(seen(&shop, "MUG-L").await, 0);
}

#[tokio::test]
async fn a_deletion_leaves_alone_what_another_product_has() {
    let running = start().await;
    let pool = running.pool();
    let (mug, cup) = (Product::of(&["MUG"]), Product::of(&["CUP"]));
    supply(pool, "MUG", 5).await;
    running.publish(&mug.created()).await;
    processed(&running, 1).await;
    let order = Order::of(&[("MUG", 1)]);
    running.publish(&order.placed()).await;
    until(pool, &order, "pending").await;
    let wrong = Product { id: cup.id, ..Product::of(&["CUP", "MUG"]) };
    running.publish(&wrong.deletion_requested()).await;
    let _: StockRetired = running.published(cup.id.uuid()).await;
    let order = Order::of(&[("MUG", 1)]);
    running.publish(&order.placed()).await;
    until(pool, &order, "pending").await;
}

/// The order holds its row when the request comes, which waits, and finds what the order has done.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_waits_for_an_order_is_refused() {
    let running = start().await;
    let pool = running.pool();
    let mug = Product::of(&["MUG"]);
    supply(pool, "MUG", 5).await;
    let mut tx = pool.begin().await.unwrap();
    let order = Order::of(&[("MUG", 2)]);
    db::open(&mut tx, order.id, Duration::from_mins(1)).await.unwrap();
    let demand = Demand::of(&order.placed().lines).unwrap();
    assert!(db::reserve(&mut tx, order.id, &demand).await.unwrap().shortages.is_empty());
    running.publish(&mug.deletion_requested()).await;
    waiting(pool, 1).await;
    tx.commit().await.unwrap();
    let in_use: StockInUse = running.published(mug.id.uuid()).await;
    assert_eq!(in_use.reserved, 2);
}

/// The request holds the rows when the order comes, which waits with a snapshot in which it could buy.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_for_a_deletion_is_rejected() {
    let running = start().await;
    let pool = running.pool();
    let mug = Product::of(&["MUG"]);
    supply(pool, "MUG", 5).await;
    let mut tx = pool.begin().await.unwrap();
    let rows = db::lock_product(&mut tx, mug.id, &mug.skus).await.unwrap();
    assert_eq!(rows.len(), 1);
    db::own(&mut tx, &["MUG".to_owned()], Some(mug.id)).await.unwrap();
    db::set_retired(&mut tx, mug.id, true).await.unwrap();
    let order = Order::of(&[("MUG", 1)]);
    running.publish(&order.placed()).await;
    waiting(pool, 1).await;
    tx.commit().await.unwrap();
    let rejected: StockRejected = running.published(order.id.uuid()).await;
    assert_eq!(rejected.shortages[0].available, 0);
    assert_eq!(levels(pool, "MUG").await.available, 5);
}
