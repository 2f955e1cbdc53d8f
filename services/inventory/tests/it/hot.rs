//! Many buyers of the same things at the same time.

use inventory::Inventory;
use inventory::stock::Levels;
use kit::testing::Running;

use crate::world::{Order, levels, processed, supply, told, waiting};

/// Each partition has one worker; all of them wait for the row when it is let go.
#[tokio::test(flavor = "multi_thread")]
async fn buyers_of_one_sku_make_progress_together() {
    let running = Running::start::<Inventory>(&[]).await;
    let pool = running.pool();
    supply(pool, "HOT", 90).await;
    let mut gate = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM stock WHERE sku = 'HOT' FOR UPDATE")
        .execute(&mut *gate)
        .await
        .unwrap();
    let orders: Vec<Order> = (0..100).map(|_| Order::of(&[("HOT", 1)])).collect();
    for order in &orders {
        running.publish(&order.placed()).await;
    }
    waiting(pool, 2).await;
    gate.commit().await.unwrap();
    processed(&running, 100).await;
    assert_eq!(levels(pool, "HOT").await, Levels { available: 0, reserved: 90 });
    let (mut reserved, mut rejected) = (0, 0);
    for order in &orders {
        reserved += told(pool, order, "stock.reserved").await;
        rejected += told(pool, order, "stock.rejected").await;
    }
    assert_eq!((reserved, rejected), (90, 10));
    let transactions = "SELECT count(DISTINCT created_at) FROM reservations";
    let transactions: i64 = sqlx::query_scalar(transactions).fetch_one(pool).await.unwrap();
    assert!(transactions <= 20, "{transactions} transactions");
}

/// Two partitions hear of orders of the same two SKUs, now of the one, now of the other: a transaction that
/// locked them as the orders come would wait for the other one's in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn orders_that_share_a_transaction_wait_for_nobody_in_a_circle() {
    let running = Running::start::<Inventory>(&[]).await;
    let pool = running.pool();
    supply(pool, "A", 400).await;
    supply(pool, "B", 400).await;
    let mut gate = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM stock FOR UPDATE").execute(&mut *gate).await.unwrap();
    let orders: Vec<Order> =
        (0..200).map(|at| Order::of(&[(if at % 3 == 0 { "A" } else { "B" }, 1)])).collect();
    for order in &orders {
        running.publish(&order.placed()).await;
        running.publish(&order.paid()).await;
    }
    waiting(pool, 2).await;
    gate.commit().await.unwrap();
    processed(&running, 400).await;
    let sold: i64 = sqlx::query_scalar("SELECT 800 - sum(available)::bigint FROM stock")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(sold, 200);
    let circles = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let circles: i64 = sqlx::query_scalar(circles).fetch_one(pool).await.unwrap();
    assert_eq!(circles, 0, "deadlocks");
}
