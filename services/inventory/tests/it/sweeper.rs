//! Reservations that run out of time, and money that comes after.

use std::time::Duration;

use contracts::events::{StockCommitted, StockRejected, StockReleased};
use inventory::stock::Levels;
use inventory::sweeper::{self, GRACE};
use kit::outbox::Outbox;
use sqlx::PgPool;

use crate::world::{Order, levels, processed, start, state, supply, told, until};

/// Lets the reservation have run out of time so long ago.
async fn age(pool: &PgPool, order: &Order, by: Duration) {
    let aged = sqlx::query(
        "UPDATE reservations SET expires_at = now() - make_interval(secs => $2)
         WHERE order_id = $1 AND state = 'pending'",
    )
    .bind(order.id.uuid())
    .bind(by.as_secs_f64())
    .execute(pool)
    .await
    .unwrap();
    assert_eq!(aged.rows_affected(), 1);
}

#[tokio::test]
async fn overdue_reservations_are_given_back() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    let (overdue, late, fresh) =
        (Order::of(&[("A", 1)]), Order::of(&[("A", 1)]), Order::of(&[("A", 1)]));
    for order in [&overdue, &late, &fresh] {
        running.publish(&order.placed()).await;
        until(pool, order, "pending").await;
    }
    age(pool, &late, GRACE / 3).await;
    age(pool, &overdue, GRACE + Duration::from_secs(1)).await;
    let released: StockReleased = running.published(overdue.id.uuid()).await;
    assert!(released.expired);
    assert_eq!(state(pool, &overdue).await.as_deref(), Some("expired"));
    assert_eq!(state(pool, &late).await.as_deref(), Some("pending"), "within grace");
    assert_eq!(state(pool, &fresh).await.as_deref(), Some("pending"));
    assert_eq!(levels(pool, "A").await, Levels { available: 3, reserved: 2 });
    // The order's own word comes after the sweeper: there is nothing left to give back.
    running.publish(&overdue.expired()).await;
    processed(&running, 4).await;
    assert_eq!(levels(pool, "A").await, Levels { available: 3, reserved: 2 });
    assert_eq!(told(pool, &overdue, "stock.released").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_sweepers_give_back_once() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 20).await;
    let orders: Vec<Order> = (0..20).map(|_| Order::of(&[("A", 1)])).collect();
    for order in &orders {
        running.publish(&order.placed()).await;
    }
    processed(&running, 20).await;
    for order in &orders {
        age(pool, order, GRACE * 2).await;
    }
    let sweepers: Vec<_> = (0..4)
        .map(|_| {
            let (pool, outbox) = (pool.clone(), Outbox::default());
            tokio::spawn(async move {
                while sweeper::sweep(&pool, &outbox, GRACE * 30).await.unwrap() {}
            })
        })
        .collect();
    for sweeper in sweepers {
        sweeper.await.unwrap();
    }
    for order in &orders {
        until(pool, order, "expired").await;
        assert_eq!(told(pool, order, "stock.released").await, 1);
    }
    assert_eq!(levels(pool, "A").await, Levels { available: 20, reserved: 0 });
}

/// By the clock, reservations last for half an hour here.
#[tokio::test]
async fn a_reservation_from_before_the_clock_was_set_back_a_day_is_given_back() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    let (minutes, day) = (Order::of(&[("A", 1)]), Order::of(&[("A", 2)]));
    for (order, hours) in [(&minutes, 0.75), (&day, 24.0)] {
        running.publish(&order.placed()).await;
        until(pool, order, "pending").await;
        let sql = "UPDATE reservations SET expires_at = now() + interval '1 hour' * $2
                   WHERE order_id = $1";
        sqlx::query(sql).bind(order.id.uuid()).bind(hours).execute(pool).await.unwrap();
    }
    until(pool, &day, "expired").await;
    assert_eq!(state(pool, &minutes).await.as_deref(), Some("pending"), "it does no harm");
    assert_eq!(levels(pool, "A").await, Levels { available: 4, reserved: 1 });
    // Its order may be paid all the same.
    running.publish(&day.paid()).await;
    let _: StockCommitted = running.published(day.id.uuid()).await;
    assert_eq!(levels(pool, "A").await, Levels { available: 2, reserved: 1 });
}

#[tokio::test]
async fn money_that_comes_late_is_served_while_there_is_stock() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 3).await;
    supply(pool, "B", 3).await;
    let order = Order::of(&[("A", 2), ("B", 1)]);
    running.publish(&order.placed()).await;
    until(pool, &order, "pending").await;
    age(pool, &order, GRACE * 2).await;
    until(pool, &order, "expired").await;
    running.publish(&order.paid()).await;
    let _: StockCommitted = running.published(order.id.uuid()).await;
    assert_eq!(levels(pool, "A").await, Levels { available: 1, reserved: 0 });
    assert_eq!(levels(pool, "B").await, Levels { available: 2, reserved: 0 });
}

#[tokio::test]
async fn money_that_comes_too_late_is_refused_aloud() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 2).await;
    let (slow, quick) = (Order::of(&[("A", 2)]), Order::of(&[("A", 1)]));
    running.publish(&slow.placed()).await;
    until(pool, &slow, "pending").await;
    age(pool, &slow, GRACE * 2).await;
    until(pool, &slow, "expired").await;
    running.publish(&quick.placed()).await;
    until(pool, &quick, "pending").await;

    running.publish(&slow.paid()).await;
    let rejected: StockRejected = running.published(slow.id.uuid()).await;
    assert_eq!(rejected.shortages.first().map(|s| (s.requested, s.available)), Some((2, 1)));
    assert_eq!(levels(pool, "A").await, Levels { available: 1, reserved: 1 });
    // The order refunds and ends; nothing is held, nothing is given back.
    running.publish(&slow.cancelled()).await;
    processed(&running, 4).await;
    assert_eq!(state(pool, &slow).await.as_deref(), Some("rejected"));
    assert_eq!(levels(pool, "A").await, Levels { available: 1, reserved: 1 });
}

#[tokio::test]
async fn money_for_an_order_that_is_not_known_is_never_silent() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 2).await;
    let order = Order::of(&[("A", 2)]);
    running.publish(&order.paid()).await;
    let _: StockCommitted = running.published(order.id.uuid()).await;
    assert_eq!(levels(pool, "A").await, Levels { available: 0, reserved: 0 });
}
