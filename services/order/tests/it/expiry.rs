//! Orders whose time is over.

use chrono::{DateTime, Utc};
use contracts::events::OrderExpired;
use tokio_util::sync::CancellationToken;

use crate::world::{World, captured, json_of, saga};

#[tokio::test]
async fn an_unpaid_order_expires_once_however_many_replicas_sweep() {
    let world = World::start_with(&[("ORDER_EXPIRY_SECONDS", "1")]).await;
    let stop = CancellationToken::new();
    for _ in 0..3 {
        let saga = saga();
        let pool = world.service.pool().clone();
        tokio::spawn(order::sweeper::run(pool, saga, stop.clone()));
    }
    let mut orders = Vec::new();
    for _ in 0..20 {
        orders.push(world.place().await);
    }
    for id in orders {
        let order = world.reaches(id, "expired").await;
        assert_eq!(order["reason"], "not_paid_in_time");
        assert!(time(&order["updated_at"]) >= time(&order["expires_at"]), "{order}");
        assert_eq!(world.history(id).await, ["placed", "expired"]);
        assert_eq!(world.told(id).await, ["placed", "expired"]);
    }
    stop.cancel();
}

#[tokio::test]
async fn a_reserved_order_expires_too_and_late_money_goes_back() {
    let world = World::start().await;
    let id = world.reserved().await;
    world.let_time_pass(id).await;
    let order = world.reaches(id, "expired").await;
    assert_eq!(order["fulfilment"], "released");
    let told = world.service.published::<OrderExpired>(id.uuid()).await;
    assert_eq!(told.user_id, world.user);
    json_of(world.post(&format!("/api/v1/orders/{id}/cancel")).await, 409).await;

    world.tell_thrice(&captured(id)).await;
    assert_eq!(world.history(id).await, ["placed", "reserved", "expired", "refund_requested"]);
    assert_eq!(world.told(id).await, ["placed", "reserved", "expired", "refund_requested"]);
}

#[tokio::test]
async fn a_paid_order_never_expires() {
    let world = World::start().await;
    let (paid, unpaid) = (world.reserved().await, world.place().await);
    world.service.publish(&captured(paid)).await;
    world.reaches(paid, "paid").await;
    // The sweeper takes those first that are overdue longest: when it has ended the second, it has
    // passed over the first.
    world.let_time_pass(paid).await;
    world.let_time_pass(unpaid).await;
    world.reaches(unpaid, "expired").await;
    assert_eq!(world.history(paid).await, ["placed", "reserved", "paid"]);
}

fn time(value: &serde_json::Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}
