//! What the events of others do to orders, told once, twice, late and in vain.

use contracts::events::{
    CancelReason, OrderCancelled, OrderPaid, OrderRefundRequested, OrderRejected, OrderReserved,
    PaymentCaptured, PaymentRefunded,
};
use contracts::{Currency, EventId, Money, OrderId, PaymentId, UserId};
use futures_util::future::join_all;
use kit::auth::Role;
use kit::inbox::{Delivery, Handle};
use kit::subscription::HandlerError;
use order::saga::Saga;
use serde_json::json;

use crate::world::{World, captured, failed, json_of, saga, stock_rejected, stock_reserved, total};

#[tokio::test]
async fn reserved_then_paid_each_once() {
    let world = World::start().await;
    let mut wish = world.wish();
    wish["payment_token"] = json!("tok_other");
    let order = json_of(world.try_place("k", &wish).await, 202).await;
    let id: OrderId = order["id"].as_str().unwrap().parse().unwrap();

    world.tell_thrice(&stock_reserved(id)).await;
    let order = world.reaches(id, "reserved").await;
    assert_eq!(order["fulfilment"], "reserved");
    let told = world.service.published::<OrderReserved>(id.uuid()).await;
    assert_eq!((told.total, told.payment_token.as_str()), (total(), "tok_other"));

    world.tell_thrice(&captured(id)).await;
    let order = world.reaches(id, "paid").await;
    assert_eq!(order["payment"], "captured");
    let told = world.service.published::<OrderPaid>(id.uuid()).await;
    assert_eq!((told.user_id, told.total, told.lines.len()), (world.user, total(), 2));

    assert_eq!(world.history(id).await, ["placed", "reserved", "paid"]);
    assert_eq!(world.told(id).await, ["placed", "reserved", "paid"]);
    let metrics = world.service.metrics().await;
    assert!(metrics.contains("orders_total{state=\"paid\"}"), "{metrics}");
    assert!(metrics.contains("order_saga_duration_seconds_count{outcome=\"paid\"}"));
}

#[tokio::test]
async fn without_stock_the_order_is_rejected() {
    let world = World::start().await;
    let id = world.place().await;
    world.tell_thrice(&stock_rejected(id)).await;
    let order = world.reaches(id, "rejected").await;
    assert_eq!(order["reason"], "out_of_stock");
    assert_eq!(order["reason_detail"], "MUG-1: 2 wanted, few left");
    let told = world.service.published::<OrderRejected>(id.uuid()).await;
    assert_eq!(told.shortages, stock_rejected(id).shortages);
    let history = world.get(&format!("/api/v1/orders/{id}/history")).await;
    let coarse = json!({ "sku": "MUG-1", "requested": 2, "availability": "few_left" });
    assert_eq!(history[1]["shortages"], json!([coarse]));
    let path = format!("/api/v1/orders/{id}/history");
    let staff = world.service.request_as(UserId::new(), &[Role::Admin], "GET", &path);
    let history = json_of(staff.send().await.unwrap(), 200).await;
    assert_eq!(history[1]["shortages"][0]["available"], 1, "staff sees the count");
    assert_eq!(world.history(id).await, ["placed", "rejected"]);
    assert_eq!(world.told(id).await, ["placed", "rejected"]);
}

#[tokio::test]
async fn a_declined_payment_cancels() {
    let world = World::start().await;
    let id = world.reserved().await;
    world.tell_thrice(&failed(id)).await;
    let order = world.reaches(id, "cancelled").await;
    assert_eq!(order["reason"], "payment_declined");
    assert_eq!(order["reason_detail"], "card_declined");
    assert_eq!((&order["payment"], &order["fulfilment"]), (&"declined".into(), &"released".into()));
    let told = world.service.published::<OrderCancelled>(id.uuid()).await;
    assert_eq!(told.reason, CancelReason::PaymentDeclined);
    assert_eq!(world.history(id).await, ["placed", "reserved", "cancelled"]);
    assert_eq!(world.told(id).await, ["placed", "reserved", "cancelled"]);
}

/// All of the money is back, as releases say it that know of no parts.
async fn publish_refund(world: &World, capture: &PaymentCaptured) {
    let PaymentCaptured { order_id, payment_id, .. } = *capture;
    world
        .tell_thrice(&PaymentRefunded {
            order_id,
            payment_id,
            amount: total(),
            refunded_total: None,
        })
        .await;
}

#[tokio::test]
async fn money_for_an_ended_order_goes_back() {
    let world = World::start().await;
    let id = world.reserved().await;
    let cancel = format!("/api/v1/orders/{id}/cancel");
    for _ in 0..2 {
        assert_eq!(json_of(world.post(&cancel).await, 200).await["reason"], "by_customer");
    }
    let capture = captured(id);
    world.tell_thrice(&capture).await;
    let order = world.reaches(id, "cancelled").await;
    assert_eq!(order["payment"], "refund_requested");
    let told = world.service.published::<OrderRefundRequested>(id.uuid()).await;
    assert_eq!((told.user_id, told.amount), (world.user, total()));

    publish_refund(&world, &capture).await;
    assert_eq!(world.reaches(id, "cancelled").await["payment"], "refunded");
    let wanted = ["placed", "reserved", "cancelled", "refund_requested", "refunded"];
    assert_eq!(world.history(id).await, wanted);
    assert_eq!(world.told(id).await, wanted[..4]);
}

/// The reservation has run out while the provider was charging, and others have bought the units.
#[tokio::test]
async fn a_paid_order_whose_stock_is_gone_is_rejected_and_its_money_goes_back() {
    let world = World::start().await;
    let id = world.reserved().await;
    let capture = captured(id);
    world.tell_thrice(&capture).await;
    world.tell_thrice(&stock_rejected(id)).await;
    let order = world.reaches(id, "rejected").await;
    assert_eq!(order["reason"], "out_of_stock");
    let axes = (&order["payment"], &order["fulfilment"]);
    assert_eq!(axes, (&"refund_requested".into(), &"released".into()));
    let told = world.service.published::<OrderRefundRequested>(id.uuid()).await;
    assert_eq!((told.user_id, told.amount), (world.user, total()));

    publish_refund(&world, &capture).await;
    assert_eq!(world.reaches(id, "rejected").await["payment"], "refunded");
    assert_eq!(world.history(id).await, ["placed", "reserved", "paid", "rejected", "refunded"]);
    let told = ["placed", "reserved", "paid", "rejected", "refund_requested"];
    assert_eq!(world.told(id).await, told);
}

/// Inventory reads the order's topic in order: it hears of the end after the placing that it has
/// answered, so whatever it holds by then it gives back. Nothing is left for the order to do.
#[tokio::test]
async fn stock_for_an_ended_order_needs_nothing_because_its_end_was_told_after_its_placing() {
    let world = World::start().await;
    let id = world.place().await;
    json_of(world.post(&format!("/api/v1/orders/{id}/cancel")).await, 200).await;
    world.tell_thrice(&stock_reserved(id)).await;
    world.tell_thrice(&stock_rejected(id)).await;
    world.tell_thrice(&failed(id)).await;
    assert_eq!(world.history(id).await, ["placed", "cancelled"]);
    assert_eq!(world.told(id).await, ["placed", "cancelled"]);
    let order = world.reaches(id, "cancelled").await;
    assert_eq!((&order["fulfilment"], &order["payment"]), (&"none".into(), &"unpaid".into()));
}

#[tokio::test]
async fn a_cancellation_that_races_with_the_money_ends_one_way_or_the_other() {
    let world = World::start().await;
    for _ in 0..8 {
        let id = world.reserved().await;
        let (cancel, capture) = (format!("/api/v1/orders/{id}/cancel"), captured(id));
        let cancels = join_all((0..4).map(|_| world.post(&cancel)));
        let (answers, told) = tokio::join!(cancels, world.service.publish(&capture));
        world.dealt_with(told).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
        let history = world.history(id).await;
        assert_eq!(statuses, [200; 4]);
        let before = ["placed", "reserved", "cancelled", "refund_requested"];
        let after = ["placed", "reserved", "paid", "cancel_requested"];
        assert!(history == before || history == after, "{history:?}");
    }
}

/// Straight into the handlers, whose refusals the subscription would try several times.
#[tokio::test]
async fn contradictions_are_refused_and_leave_no_trace() {
    let world = World::start().await;
    let (pending, reserved) = (world.place().await, world.reserved().await);
    let paid = world.reserved().await;
    world.tell_thrice(&captured(paid)).await;
    let cheap = Money::new(1, Currency::EUR);

    refused(&world, captured(pending)).await;
    refused(&world, PaymentCaptured { amount: cheap, ..captured(reserved) }).await;
    refused(&world, captured(paid)).await;
    refused(&world, failed(paid)).await;
    refused(&world, stock_reserved(OrderId::new())).await;
    assert_eq!(world.history(pending).await, ["placed"]);
    assert_eq!(world.history(reserved).await, ["placed", "reserved"]);
    assert_eq!(world.history(paid).await, ["placed", "reserved", "paid"]);

    // Money that another payment gives back.
    let (order_id, payment_id, refunded_total) = (paid, PaymentId::new(), None);
    refused(&world, PaymentRefunded { order_id, payment_id, amount: cheap, refunded_total }).await;
    assert_eq!(world.history(paid).await, ["placed", "reserved", "paid"]);
}

async fn refused<E>(world: &World, event: E)
where
    Saga: Handle<E>,
    E: contracts::events::Event + std::fmt::Debug,
{
    let mut tx = world.service.pool().begin().await.unwrap();
    let delivery = Delivery { id: EventId::new(), time: chrono::Utc::now(), event };
    let outcome = saga().handle(&mut tx, &delivery).await;
    assert!(matches!(outcome, Err(HandlerError::Permanent(_))), "{delivery:?}: {outcome:?}");
    tx.commit().await.unwrap();
}
