//! Events of orders, through Kafka.

use contracts::EventId;
use contracts::events::{StockCommitted, StockRejected, StockReleased, StockReserved};
use contracts::topics::Aggregate;
use inventory::stock::Levels;
use kit::testing::eventually;

use crate::world::{Order, levels, processed, sku, start, start_with, state, supply, told, until};

const fn at(available: i64, reserved: i64) -> Levels {
    Levels { available, reserved }
}

#[tokio::test]
async fn an_order_is_held_and_committed() {
    let running = start_with(&[("RESERVATION_TTL_SECONDS", "600")]).await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    supply(pool, "B", 5).await;
    let order = Order::of(&[("B", 2), ("A", 1)]);

    running.publish(&order.placed()).await;
    let reserved: StockReserved = running.published(order.id.uuid()).await;
    let minutes = (reserved.expires_at - chrono::Utc::now()).num_minutes();
    assert!((8..=10).contains(&minutes), "{minutes}");
    assert_eq!(levels(pool, "A").await, at(4, 1));
    assert_eq!(levels(pool, "B").await, at(3, 2));

    running.publish(&order.paid()).await;
    let _: StockCommitted = running.published(order.id.uuid()).await;
    assert_eq!(levels(pool, "A").await, at(4, 0));
    assert_eq!(levels(pool, "B").await, at(3, 0));
    let metrics = running.metrics().await;
    assert!(metrics.contains("reservations_total{outcome=\"committed\"}"), "{metrics}");
}

#[tokio::test]
async fn all_lines_are_held_or_none() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    supply(pool, "B", 1).await;
    let order = Order::of(&[("A", 5), ("B", 2), ("NOWHERE", 1)]);

    running.publish(&order.placed()).await;
    let rejected: StockRejected = running.published(order.id.uuid()).await;
    let short: Vec<_> = rejected
        .shortages
        .iter()
        .map(|shortage| (shortage.sku.as_str(), shortage.requested, shortage.available))
        .collect();
    assert_eq!(short, [("B", 2, 1), ("NOWHERE", 1, 0)]);
    assert_eq!(levels(pool, "A").await, at(5, 0));
    assert_eq!(levels(pool, "B").await, at(1, 0));
    assert_eq!(told(pool, &order, "stock.reserved").await, 0);
}

#[tokio::test]
async fn two_lines_of_one_sku_do_not_oversell() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;

    let greedy = Order::of(&[("A", 3), ("A", 3)]);
    running.publish(&greedy.placed()).await;
    let rejected: StockRejected = running.published(greedy.id.uuid()).await;
    assert_eq!(rejected.shortages.len(), 1);
    assert_eq!(
        rejected.shortages.first().map(|s| (s.sku.clone(), s.requested)),
        Some((sku("A"), 6))
    );

    let exact = Order::of(&[("A", 3), ("A", 2)]);
    running.publish(&exact.placed()).await;
    let _: StockReserved = running.published(exact.id.uuid()).await;
    assert_eq!(levels(pool, "A").await, at(0, 5));
}

#[tokio::test]
async fn every_end_of_an_order_gives_back_what_it_held() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    let orders: Vec<Order> = (0..3).map(|_| Order::of(&[("A", 1)])).collect();
    for order in &orders {
        running.publish(&order.placed()).await;
        until(pool, order, "pending").await;
    }
    assert_eq!(levels(pool, "A").await, at(2, 3));
    let [cancelled, expired, rejected] = orders.as_slice() else { unreachable!() };
    running.publish(&cancelled.cancelled()).await;
    running.publish(&expired.expired()).await;
    running.publish(&rejected.rejected()).await;
    for order in &orders {
        until(pool, order, "released").await;
        let released: StockReleased = running.published(order.id.uuid()).await;
        assert!(!released.expired);
    }
    assert_eq!(levels(pool, "A").await, at(5, 0));
}

#[tokio::test]
async fn goods_of_a_paid_order_come_back_when_it_is_cancelled() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    let order = Order::of(&[("A", 2)]);
    running.publish(&order.placed()).await;
    running.publish(&order.paid()).await;
    until(pool, &order, "committed").await;
    assert_eq!(levels(pool, "A").await, at(3, 0));
    running.publish(&order.cancelled()).await;
    running.publish(&order.cancelled()).await;
    until(pool, &order, "returned").await;
    processed(&running, 4).await;
    assert_eq!(levels(pool, "A").await, at(5, 0));
    assert_eq!(told(pool, &order, "stock.released").await, 1);
}

#[tokio::test]
async fn the_same_event_twice_takes_effect_once() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 10).await;
    let (kept, dropped) = (Order::of(&[("A", 2)]), Order::of(&[("A", 3)]));
    // Once under the same id, as Kafka repeats, and once under another, as a producer might.
    for order in [&kept, &dropped] {
        let id = EventId::new();
        running.publish_as(id, &order.placed()).await;
        running.publish_as(id, &order.placed()).await;
        running.publish(&order.placed()).await;
    }
    let (paid, cancelled) = (EventId::new(), EventId::new());
    for _ in 0..2 {
        running.publish_as(paid, &kept.paid()).await;
        running.publish_as(cancelled, &dropped.cancelled()).await;
    }
    running.publish(&kept.paid()).await;
    running.publish(&dropped.cancelled()).await;
    processed(&running, 8).await;
    assert_eq!(levels(pool, "A").await, at(8, 0));
    for (order, event) in [
        (&kept, "stock.reserved"),
        (&kept, "stock.committed"),
        (&dropped, "stock.reserved"),
        (&dropped, "stock.released"),
    ] {
        assert_eq!(told(pool, order, event).await, 1, "{event}");
    }
}

#[tokio::test]
async fn an_order_that_has_ended_holds_nothing_later() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    let order = Order::of(&[("A", 2)]);
    running.publish(&order.cancelled()).await;
    running.publish(&order.placed()).await;
    processed(&running, 2).await;
    assert_eq!(state(pool, &order).await.as_deref(), Some("released"));
    assert_eq!(levels(pool, "A").await, at(5, 0));
    assert_eq!(told(pool, &order, "stock.reserved").await, 0);
}

#[tokio::test]
async fn a_huge_quantity_is_a_shortage() {
    let running = start().await;
    supply(running.pool(), "A", 5).await;
    let order = Order::of(&[("A", u32::MAX), ("A", u32::MAX), ("A", 1 << 31)]);
    running.publish(&order.placed()).await;
    let rejected: StockRejected = running.published(order.id.uuid()).await;
    assert_eq!(rejected.shortages.first().unwrap().requested, u32::MAX);
}

#[tokio::test]
async fn orders_of_nothing_become_dead_letters_and_block_nobody() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    let (none, zero) = (Order::of(&[]), Order::of(&[("A", 1), ("A", 0)]));
    for (order, reason) in [(&none, "no lines"), (&zero, "quantity 0")] {
        let id = running.publish(&order.placed()).await;
        let told = running.buried(Aggregate::Order, id).await;
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(state(pool, &none).await, None);
    assert_eq!(state(pool, &zero).await, None);
    assert_eq!(levels(pool, "A").await, at(5, 0));
    let good = Order::of(&[("A", 1)]);
    running.publish(&good.placed()).await;
    eventually("the next order is served", async || state(pool, &good).await).await;
}
