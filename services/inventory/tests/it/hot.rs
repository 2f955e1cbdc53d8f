//! Many buyers of the same things at the same time.

use std::time::Duration;

use contracts::EventId;
use contracts::events::{Event, OrderPaid, OrderPlaced};
use inventory::events::Orders;
use inventory::stock::Levels;
use kit::inbox::{Delivery, Handle, Shared};
use kit::outbox::Outbox;
use kit::testing::waiting;
use serde_json::Value;
use sqlx::PgPool;
use tracing::Span;

use crate::world::{Order, levels, processed, start, supply, told};

/// Each partition has one worker; all of them wait for the row when it is let go.
#[tokio::test(flavor = "multi_thread")]
async fn buyers_of_one_sku_make_progress_together() {
    let running = start().await;
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
    let running = start().await;
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

/// Events as they come to a handler.
fn shared<E: Event>(events: impl IntoIterator<Item = E>) -> Vec<Shared<E>> {
    let shared = events.into_iter().map(|event| Shared {
        delivery: Delivery { id: EventId::new(), time: chrono::Utc::now(), event },
        span: Span::none(),
    });
    shared.collect()
}

/// Handles events so many at a time.
async fn handle<E: Event>(pool: &PgPool, events: &[Shared<E>], at_once: usize)
where
    Orders: Handle<E>,
{
    let orders = Orders { outbox: Outbox::default(), ttl: Duration::from_mins(30) };
    for some in events.chunks(at_once) {
        let mut tx = pool.begin().await.unwrap();
        match some {
            [one] => orders.handle(&mut tx, &one.delivery).await.unwrap(),
            several => orders.handle_all(&mut tx, several).await.unwrap(),
        }
        tx.commit().await.unwrap();
    }
}

/// Everything that is left of them, without what is different every time.
async fn left(pool: &PgPool) -> Vec<Value> {
    let left = "SELECT jsonb_build_array(
            (SELECT jsonb_agg(jsonb_build_array(sku, available, reserved, version) ORDER BY sku)
             FROM stock),
            (SELECT jsonb_agg(jsonb_build_array(order_id, state) ORDER BY order_id)
             FROM reservations),
            (SELECT jsonb_agg(jsonb_build_array(order_id, sku, quantity) ORDER BY order_id, sku)
             FROM reservation_lines),
            (SELECT jsonb_agg(jsonb_build_array(sku, kind, quantity, order_id, reserved_delta)
                              ORDER BY kind, sku, order_id)
             FROM movements),
            (SELECT jsonb_agg(told ORDER BY told) FROM (
                 SELECT jsonb_build_array(type, payload - 'expires_at' - 'stock_id') FROM outbox
             ) AS told (told)))";
    let left: Value = sqlx::query_scalar(left).fetch_one(pool).await.unwrap();
    left.as_array().unwrap().clone()
}

/// Enough for some of the orders; some come twice, some are of several things, and one is paid of which nobody
/// has heard.
#[tokio::test(flavor = "multi_thread")]
async fn many_orders_served_at_once_are_served_as_one_after_the_other() {
    let (alone, together) = tokio::join!(start(), start());
    let lines = |at: usize| -> Vec<(&'static str, u32)> {
        let units = |n: usize| u32::try_from((at * 7 + n) % 4 + 1).unwrap();
        match at % 4 {
            0 => vec![("A", units(0)), ("B", units(1))],
            1 => vec![("C", units(2))],
            2 => vec![("B", units(3)), ("A", 1), ("A", 1)],
            _ => vec![("A", 1), ("NOWHERE", 1)],
        }
    };
    let orders: Vec<Order> = (0..60).map(|at| Order::of(&lines(at))).collect();
    let placed: Vec<Shared<OrderPlaced>> = shared(orders.iter().map(Order::placed));
    let again: Vec<Shared<OrderPlaced>> = shared(orders.iter().step_by(5).map(Order::placed));
    let unknown = Order::of(&[("C", 1)]);
    let paid: Vec<Shared<OrderPaid>> =
        shared(orders.iter().step_by(2).chain([&unknown]).map(Order::paid));
    for (running, at_once) in [(&alone, 1), (&together, 20)] {
        let pool = running.pool();
        for code in ["A", "B", "C"] {
            supply(pool, code, 25).await;
        }
        sqlx::query("UPDATE stock SET low_threshold = 9").execute(pool).await.unwrap();
        handle(pool, &placed, at_once).await;
        handle(pool, &again, at_once).await;
        handle(pool, &paid, at_once).await;
    }
    let (one, other) = (left(alone.pool()).await, left(together.pool()).await);
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other);
    }
    let states = one[1].to_string();
    for state in ["pending", "rejected", "committed"] {
        assert!(states.contains(state), "{states}");
    }
    assert!(one[4].to_string().contains("stock.low"), "{}", one[4]);
}
