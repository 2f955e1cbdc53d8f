//! What an order gives back that was paid.

use contracts::events::StockReleased;
use inventory::stock::Levels;

use crate::world::{Order, levels, processed, start, state, supply, told, until};

const fn at(available: i64, reserved: i64) -> Levels {
    Levels { available, reserved }
}

#[tokio::test]
async fn units_of_a_paid_order_come_back_when_it_asks() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    supply(pool, "B", 5).await;
    let order = Order::of(&[("A", 2), ("B", 1)]);
    running.publish(&order.placed()).await;
    running.publish(&order.paid()).await;
    until(pool, &order, "committed").await;
    running.publish(&order.restock_requested()).await;
    let released: StockReleased = running.published(order.id.uuid()).await;
    assert!(!released.expired);
    assert_eq!(state(pool, &order).await.as_deref(), Some("returned"));
    assert_eq!((levels(pool, "A").await, levels(pool, "B").await), (at(5, 0), at(5, 0)));
    let returned: i64 = sqlx::query_scalar(
        "SELECT sum(quantity)::bigint FROM movements WHERE kind = 'return' AND order_id = $1",
    )
    .bind(order.id.uuid())
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(returned, 3);
    // The order's own end comes after.
    running.publish(&order.cancelled()).await;
    processed(&running, 4).await;
    assert_eq!(levels(pool, "A").await, at(5, 0));
    assert_eq!(told(pool, &order, "stock.released").await, 1);
}

#[tokio::test]
async fn every_request_is_answered_and_units_come_back_once() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    let (held, rejected, unknown) =
        (Order::of(&[("A", 2)]), Order::of(&[("A", 9)]), Order::of(&[("A", 1)]));
    for order in [&held, &rejected] {
        running.publish(&order.placed()).await;
    }
    processed(&running, 2).await;
    assert_eq!(levels(pool, "A").await, at(3, 2));
    let orders = [(&held, "released"), (&rejected, "rejected"), (&unknown, "released")];
    for (order, _) in orders {
        running.publish(&order.restock_requested()).await;
        running.publish(&order.restock_requested()).await;
    }
    processed(&running, 8).await;
    for (order, expected) in orders {
        assert_eq!(state(pool, order).await.as_deref(), Some(expected));
        assert_eq!(told(pool, order, "stock.released").await, 2, "an answer to each, {expected}");
    }
    assert_eq!(levels(pool, "A").await, at(5, 0));
    // What has ended holds nothing later.
    running.publish(&unknown.placed()).await;
    processed(&running, 9).await;
    assert_eq!(levels(pool, "A").await, at(5, 0));
}
