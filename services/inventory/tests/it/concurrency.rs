//! Many orders at once, straight at the SQL and through Kafka.

use std::time::Duration;

use inventory::db;
use inventory::stock::{Demand, Kind, Levels, State};
use kit::testing::waiting;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

use crate::world::{Order, levels, processed, start, supply, told};

/// So many connections that wait for each other, and for a busy machine, as long as it takes.
fn patient(pool: &PgPool, connections: u32) -> PgPool {
    let options = pool.connect_options().as_ref().clone().options([("lock_timeout", "0")]);
    let pool = PgPoolOptions::new().max_connections(connections);
    pool.acquire_timeout(Duration::from_mins(1)).connect_lazy_with(options)
}

/// Tries to reserve an order in a transaction of its own.
async fn reserve(pool: PgPool, order: Order) -> bool {
    let mut tx = pool.begin().await.unwrap();
    let demand = Demand::of(&order.placed().lines).unwrap();
    db::open(&mut tx, order.id, Duration::from_mins(1)).await.unwrap();
    let reserved = db::reserve(&mut tx, order.id, &demand).await.unwrap();
    tx.commit().await.unwrap();
    reserved.shortages.is_empty()
}

/// All fifty have begun, and wait for the same row with a snapshot in which there are ten units.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_orders_for_ten_units() {
    let running = start().await;
    supply(running.pool(), "A", 10).await;
    let pool = patient(running.pool(), 50);
    let mut gate = running.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM stock WHERE sku = 'A' FOR UPDATE").execute(&mut *gate).await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        tasks.spawn(reserve(pool.clone(), Order::of(&[("A", 1)])));
    }
    waiting(running.pool(), 50).await;
    gate.commit().await.unwrap();
    let reserved = tasks.join_all().await.into_iter().filter(|reserved| *reserved).count();
    assert_eq!(reserved, 10);
    assert_eq!(levels(&pool, "A").await, Levels { available: 0, reserved: 10 });
}

/// The order has begun when there was nothing, and goes on when there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_comes_back_while_an_order_waits_is_sold() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 1).await;
    let first = Order::of(&[("A", 1)]);
    let id = first.id;
    assert!(reserve(pool.clone(), first).await);
    let mut giving_back = pool.begin().await.unwrap();
    db::settle(&mut giving_back, id, Kind::Release).await.unwrap();
    let second = tokio::spawn(reserve(pool.clone(), Order::of(&[("A", 1)])));
    waiting(pool, 1).await;
    giving_back.commit().await.unwrap();
    assert!(second.await.unwrap());
    assert_eq!(levels(pool, "A").await, Levels { available: 0, reserved: 1 });
}

#[tokio::test]
async fn fifty_orders_for_ten_units_through_kafka() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 10).await;
    let orders: Vec<Order> = (0..50).map(|_| Order::of(&[("A", 1)])).collect();
    for order in &orders {
        running.publish(&order.placed()).await;
    }
    processed(&running, 50).await;
    assert_eq!(levels(pool, "A").await, Levels { available: 0, reserved: 10 });
    let (mut reserved, mut rejected) = (0, 0);
    for order in &orders {
        reserved += told(pool, order, "stock.reserved").await;
        rejected += told(pool, order, "stock.rejected").await;
    }
    assert_eq!((reserved, rejected), (10, 40));
}

/// Orders of several SKUs in every order of lines, some of them settled meanwhile: a deadlock
/// would be an error, a lost update would show in the levels.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crossing_orders_neither_deadlock_nor_lose_units() {
    let running = start().await;
    let pool = running.pool();
    for code in ["A", "B", "C"] {
        supply(pool, code, 30).await;
    }
    let (crossing, mut tasks) = (patient(pool, 20), JoinSet::new());
    for round in 0..90 {
        let lines = [[("A", 1), ("B", 1)], [("C", 1), ("A", 1)], [("B", 1), ("C", 1)]];
        let order = Order::of(&lines[round % 3]);
        let (pool, id) = (crossing.clone(), order.id);
        tasks.spawn(async move {
            if !reserve(pool.clone(), order).await || round % 2 == 0 {
                return;
            }
            let mut tx = pool.begin().await.unwrap();
            assert_eq!(db::lock(&mut tx, id).await.unwrap(), Some(State::Pending));
            db::settle(&mut tx, id, Kind::Release).await.unwrap();
            db::set_state(&mut tx, id, State::Released).await.unwrap();
            tx.commit().await.unwrap();
        });
    }
    tasks.join_all().await;
    for code in ["A", "B", "C"] {
        let held: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(quantity), 0)::bigint FROM reservation_lines
             JOIN reservations USING (order_id) WHERE state = 'pending' AND sku = $1",
        )
        .bind(code)
        .fetch_one(pool)
        .await
        .unwrap();
        assert!(held > 0);
        let expected = Levels { available: 30 - held, reserved: held };
        assert_eq!(levels(pool, code).await, expected, "{code}");
    }
}
