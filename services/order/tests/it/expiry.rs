//! Orders whose time is over.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::{OrderExpired, PaymentActionRequired};
use contracts::{OrderId, PaymentId};
use order::sweeper::Times;
use tokio_util::sync::CancellationToken;

use crate::world::{World, captured, json_of, saga};

/// No order waits for so long.
const LONG: Duration = Duration::from_hours(1);

#[tokio::test]
async fn an_unpaid_order_expires_once_however_many_replicas_sweep() {
    let world = World::start_with(&[("ORDER_EXPIRY_SECONDS", "1")]).await;
    let stop = CancellationToken::new();
    for _ in 0..3 {
        let saga = saga();
        let pool = world.service.pool().clone();
        let times = Times { expiry: LONG, second_step: LONG };
        tokio::spawn(order::sweeper::run(pool, saga, times, stop.clone()));
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

/// By the clock, orders have half an hour here.
#[tokio::test]
async fn an_order_placed_before_the_clock_was_set_back_a_day_expires() {
    let world = World::start().await;
    let (minutes, day) = (world.reserved().await, world.reserved().await);
    world.move_end(minutes, Utc::now() + TimeDelta::minutes(45)).await;
    world.move_end(day, Utc::now() + TimeDelta::hours(24)).await;
    world.reaches(day, "expired").await;
    // Nothing is lost: money that comes afterwards goes back.
    world.tell_thrice(&captured(day)).await;
    assert_eq!(world.told(day).await, ["placed", "reserved", "expired", "refund_requested"]);
    assert_eq!(world.history(minutes).await, ["placed", "reserved"], "less than that does no harm");
}

fn action_required(world: &World, order_id: OrderId) -> PaymentActionRequired {
    let url = "https://bank.example/confirm".to_owned();
    PaymentActionRequired { order_id, payment_id: PaymentId::new(), user_id: world.user, url }
}

/// Lets a second step have begun half an hour ago.
async fn wait_long(world: &World, id: OrderId) {
    let step = "UPDATE second_steps SET since = now() - interval '30 minutes' WHERE order_id = $1";
    let step = sqlx::query(step).bind(id.uuid()).execute(world.service.pool()).await.unwrap();
    assert_eq!(step.rows_affected(), 1, "the order waits for a second step");
}

#[tokio::test]
async fn an_order_is_held_for_a_shorter_time_while_its_payment_needs_a_second_step() {
    let world = World::start().await;
    let (given_up, waits) = (world.reserved().await, world.reserved().await);
    world.tell_thrice(&action_required(&world, given_up)).await;
    world.tell_thrice(&action_required(&world, waits)).await;
    wait_long(&world, given_up).await;
    let order = world.reaches(given_up, "expired").await;
    assert!(time(&order["updated_at"]) < time(&order["expires_at"]), "{order}");
    assert_eq!(world.told(given_up).await, ["placed", "reserved", "expired"]);

    // The other one's time is not over: it is paid, and waits for nothing then.
    assert_eq!(world.history(waits).await, ["placed", "reserved"]);
    world.tell_thrice(&captured(waits)).await;
    world.reaches(waits, "paid").await;
    world.tell_thrice(&action_required(&world, waits)).await;
    let waiting = "SELECT count(*) FROM second_steps WHERE ended_at IS NULL";
    let steps = sqlx::query_scalar(waiting);
    let steps: i64 = steps.fetch_one(world.service.pool()).await.unwrap();
    assert_eq!(steps, 0);
}

fn time(value: &serde_json::Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}
