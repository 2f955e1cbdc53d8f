//! What goes back: parts of the money, paid orders that are given up, goods that are sent back.

use contracts::events::{
    CancelReason, OrderCancelled, OrderDelivered, OrderRefundRequested, OrderRestockRequested,
    OrderReturned, OrderShipped, PaymentRefundRequested, PaymentRefunded, StockReleased,
};
use contracts::{Currency, Money, OrderId, PaymentId};
use futures_util::future::join_all;
use kit::auth::Role;
use serde_json::{Value, json};

use crate::world::{World, captured, json_of, stock_rejected, total};

/// An order that is paid, and its payment.
pub(crate) async fn paid(world: &World) -> (OrderId, PaymentId) {
    let id = world.reserved().await;
    let capture = captured(id);
    world.service.publish(&capture).await;
    world.reaches(id, "paid").await;
    (id, capture.payment_id)
}

async fn delivered(world: &World) -> (OrderId, PaymentId) {
    let (id, payment) = paid(world).await;
    for step in ["ship", "deliver"] {
        json_of(world.post_as_staff(&format!("/api/v1/orders/{id}/{step}")).await, 200).await;
    }
    (id, payment)
}

pub(crate) fn refunded(
    order_id: OrderId,
    payment_id: PaymentId,
    amount: i64,
    all: i64,
) -> PaymentRefunded {
    let [amount, all] = [amount, all].map(|cents| Money::new(cents, Currency::EUR));
    PaymentRefunded { order_id, payment_id, amount, refunded_total: Some(all) }
}

pub(crate) fn released(order_id: OrderId) -> StockReleased {
    StockReleased { order_id, expired: false }
}

async fn post(world: &World, path: &str, roles: &[Role], body: &Value) -> reqwest::Response {
    let request = world.service.request_as(world.user, roles, "POST", path);
    request.json(body).send().await.unwrap()
}

#[tokio::test]
async fn a_paid_order_is_cancelled_when_its_money_and_its_goods_are_back() {
    let world = World::start().await;
    for money_first in [true, false] {
        let (id, payment) = paid(&world).await;
        let cancel = format!("/api/v1/orders/{id}/cancel");
        for _ in 0..2 {
            let order = json_of(world.post(&cancel).await, 200).await;
            assert_eq!(order["status"], "cancelling");
            assert_eq!(
                (&order["payment"], &order["reason"]),
                (&"refund_requested".into(), &"by_customer".into())
            );
        }
        let asked = world.service.published::<OrderRefundRequested>(id.uuid()).await;
        assert_eq!((asked.user_id, asked.amount), (world.user, total()));
        world.service.published::<OrderRestockRequested>(id.uuid()).await;
        json_of(world.post_as_staff(&format!("/api/v1/orders/{id}/ship")).await, 409).await;

        let (money, goods) = (refunded(id, payment, 4498, 4498), released(id));
        if money_first {
            world.tell_thrice(&money).await;
            assert_eq!(world.reaches(id, "cancelling").await["payment"], "refunded");
            world.tell_thrice(&goods).await;
        } else {
            world.tell_thrice(&goods).await;
            assert_eq!(world.reaches(id, "cancelling").await["fulfilment"], "released");
            world.tell_thrice(&money).await;
        }
        let order = world.reaches(id, "cancelled").await;
        assert_eq!(
            (&order["payment"], &order["fulfilment"]),
            (&"refunded".into(), &"released".into())
        );
        assert_eq!(order["refunded"], order["total"]);
        let told = world.service.published::<OrderCancelled>(id.uuid()).await;
        assert_eq!(told.reason, CancelReason::ByCustomer);
        let told = world.told(id).await;
        assert_eq!(told[3..], ["refund_requested", "restock_requested", "cancelled"]);
        assert_eq!(world.history(id).await.len(), 6);
    }
}

/// The reservation had run out, and others bought the units, while the shopper thought better of it.
#[tokio::test]
async fn a_cancelled_order_whose_stock_was_gone_waits_for_its_money_alone() {
    let world = World::start().await;
    let (id, payment) = paid(&world).await;
    json_of(world.post(&format!("/api/v1/orders/{id}/cancel")).await, 200).await;
    world.tell_thrice(&stock_rejected(id)).await;
    world.tell_thrice(&released(id)).await;
    assert_eq!(world.reaches(id, "cancelling").await["fulfilment"], "released");
    world.tell_thrice(&refunded(id, payment, 4498, 4498)).await;
    assert_eq!(world.reaches(id, "cancelled").await["reason"], "by_customer");
    let history = world.history(id).await;
    assert_eq!(history[3..], ["cancel_requested", "restocked", "refunded"]);
}

/// What ran out of time long ago says nothing of the goods that are to come back now.
#[tokio::test]
async fn a_hold_that_ran_out_is_no_restock() {
    let world = World::start().await;
    let (id, _) = paid(&world).await;
    json_of(world.post(&format!("/api/v1/orders/{id}/cancel")).await, 200).await;
    world.tell_thrice(&StockReleased { order_id: id, expired: true }).await;
    assert_eq!(world.reaches(id, "cancelling").await["fulfilment"], "reserved");
}

#[tokio::test]
async fn to_ship_and_to_cancel_at_once_is_one_of_both() {
    let world = World::start().await;
    for _ in 0..8 {
        let (id, _) = paid(&world).await;
        let (cancel, ship) =
            (format!("/api/v1/orders/{id}/cancel"), format!("/api/v1/orders/{id}/ship"));
        let (cancels, ships) = tokio::join!(
            join_all((0..3).map(|_| world.post(&cancel))),
            join_all((0..3).map(|_| world.post_as_staff(&ship))),
        );
        let statuses = |answers: Vec<reqwest::Response>| -> Vec<u16> {
            answers.iter().map(|answer| answer.status().as_u16()).collect()
        };
        let both = (statuses(cancels), statuses(ships));
        assert!(
            both == (vec![200; 3], vec![409; 3]) || both == (vec![409; 3], vec![200; 3]),
            "{both:?}"
        );
        assert_eq!(world.history(id).await.len(), 4);
    }
}

#[tokio::test]
async fn parts_of_the_money_go_back_while_the_order_lives_on() {
    let world = World::start().await;
    let (id, payment) = paid(&world).await;
    world.tell_thrice(&refunded(id, payment, 1000, 1000)).await;
    let order = world.reaches(id, "paid").await;
    assert_eq!(
        (&order["payment"], &order["refunded"]["amount"]),
        (&"partially_refunded".into(), &1000.into())
    );
    // Told in another order than they were made in.
    world.tell_thrice(&refunded(id, payment, 300, 1500)).await;
    world.tell_thrice(&refunded(id, payment, 200, 1200)).await;
    assert_eq!(world.reaches(id, "paid").await["refunded"]["amount"], 1500);

    // Of what is given up then, the rest goes back.
    json_of(world.post(&format!("/api/v1/orders/{id}/cancel")).await, 200).await;
    let asked = world.service.published::<OrderRefundRequested>(id.uuid()).await;
    assert_eq!(asked.amount.amount, 2998);
    world.tell_thrice(&released(id)).await;
    assert_eq!(world.reaches(id, "cancelling").await["payment"], "refund_requested");
    world.tell_thrice(&refunded(id, payment, 2998, 4498)).await;
    assert_eq!(world.reaches(id, "cancelled").await["payment"], "refunded");
}

#[tokio::test]
async fn an_order_whose_money_is_back_already_waits_for_its_goods_alone() {
    let world = World::start().await;
    let (id, payment) = paid(&world).await;
    world.tell_thrice(&refunded(id, payment, 4498, 4498)).await;
    let order =
        json_of(world.post_as_staff(&format!("/api/v1/orders/{id}/cancel")).await, 200).await;
    assert_eq!((&order["status"], &order["payment"]), (&"cancelling".into(), &"refunded".into()));
    world.tell_thrice(&released(id)).await;
    assert_eq!(world.reaches(id, "cancelled").await["reason"], "by_staff");
    let told = world.told(id).await;
    assert_eq!(told[3..], ["restock_requested", "cancelled"], "no money is asked for");
}

#[tokio::test]
async fn an_order_that_was_refunded_in_full_is_not_shipped() {
    let world = World::start().await;
    let (id, payment) = paid(&world).await;
    world.tell_thrice(&refunded(id, payment, 4498, 4498)).await;
    assert_eq!(world.reaches(id, "paid").await["payment"], "refunded");
    let path = format!("/api/v1/orders/{id}");
    let problem = json_of(world.post_as_staff(&format!("{path}/ship")).await, 409).await;
    assert_eq!(problem["type"], "/problems/conflict");
    assert_eq!(world.get(&path).await["fulfilment"], "reserved");

    // A part that went back keeps nothing from being sent, and what was sent stays sent.
    let (id, payment) = paid(&world).await;
    world.tell_thrice(&refunded(id, payment, 1000, 1000)).await;
    let ship = format!("/api/v1/orders/{id}/ship");
    json_of(world.post_as_staff(&ship).await, 200).await;
    world.tell_thrice(&refunded(id, payment, 3498, 4498)).await;
    assert_eq!(world.reaches(id, "shipped").await["payment"], "refunded");
    json_of(world.post_as_staff(&ship).await, 200).await;
    json_of(world.post_as_staff(&format!("/api/v1/orders/{id}/deliver")).await, 200).await;
}

/// Staff has asked for a refund, which the provider may not have made yet.
fn refund_requested(order_id: OrderId, payment_id: PaymentId, all: i64) -> PaymentRefundRequested {
    let requested_total = Money::new(all, Currency::EUR);
    PaymentRefundRequested { order_id, payment_id, amount: requested_total, requested_total }
}

#[tokio::test]
async fn an_order_whose_full_refund_is_requested_is_not_shipped() {
    let world = World::start().await;
    let (id, payment) = paid(&world).await;
    world.tell_thrice(&refund_requested(id, payment, 4000)).await;
    world.tell_thrice(&refund_requested(id, payment, 4498)).await;
    // One that comes late takes nothing back.
    world.tell_thrice(&refund_requested(id, payment, 4000)).await;
    let path = format!("/api/v1/orders/{id}");
    let problem = json_of(world.post_as_staff(&format!("{path}/ship")).await, 409).await;
    assert_eq!(problem["type"], "/problems/conflict");
    assert_eq!(world.get(&path).await["payment"], "captured", "it is not done yet");
    world.tell_thrice(&refunded(id, payment, 4498, 4498)).await;
    json_of(world.post_as_staff(&format!("{path}/ship")).await, 409).await;
    // Its goods go back into stock as those of every order.
    json_of(world.post(&format!("{path}/cancel")).await, 200).await;
    world.tell_thrice(&released(id)).await;
    world.reaches(id, "cancelled").await;

    // A part keeps nothing from being shipped, and what is shipped stays so.
    let (id, payment) = paid(&world).await;
    world.tell_thrice(&refund_requested(id, payment, 4497)).await;
    let ship = format!("/api/v1/orders/{id}/ship");
    json_of(world.post_as_staff(&ship).await, 200).await;
    world.tell_thrice(&refund_requested(id, payment, 4498)).await;
    json_of(world.post_as_staff(&ship).await, 200).await;
    let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM requested_refunds");
    assert_eq!(rows.fetch_one(world.service.pool()).await.unwrap(), 0, "nothing is left of either");
}

#[tokio::test]
async fn goods_are_sent_back_received_and_paid_back() {
    let world = World::start().await;
    let (id, payment) = delivered(&world).await;
    assert_eq!(world.service.published::<OrderShipped>(id.uuid()).await.user_id, world.user);
    assert_eq!(world.service.published::<OrderDelivered>(id.uuid()).await.lines.len(), 2);
    let path = format!("/api/v1/orders/{id}/return");
    let (receive, refuse) = (format!("{path}/receive"), format!("{path}/refuse"));
    json_of(post(&world, &receive, &[], &json!({})).await, 403).await;
    json_of(world.post_as_staff(&receive).await, 409).await;
    let order =
        json_of(post(&world, &path, &[], &json!({ "reason": "too small" })).await, 200).await;
    assert_eq!(
        (&order["status"], &order["fulfilment"]),
        (&"returning".into(), &"returning".into())
    );
    assert_eq!(
        (&order["payment"], &order["reason_detail"]),
        (&"captured".into(), &"too small".into())
    );

    // Refused, and asked for again.
    json_of(post(&world, &refuse, &[], &json!({ "reason": "worn" })).await, 403).await;
    let order =
        json_of(post(&world, &refuse, &[Role::Admin], &json!({ "reason": "worn" })).await, 200)
            .await;
    assert_eq!((&order["status"], &order["reason_detail"]), (&"delivered".into(), &"worn".into()));
    let again = post(&world, &refuse, &[Role::Admin], &json!({ "reason": "worn" })).await;
    assert_eq!(json_of(again, 200).await["version"], order["version"], "said once");
    json_of(post(&world, &path, &[], &json!({})).await, 200).await;

    for _ in 0..2 {
        let order = json_of(world.post_as_staff(&receive).await, 200).await;
        assert_eq!(
            (&order["status"], &order["fulfilment"]),
            (&"returning".into(), &"received".into())
        );
    }
    json_of(post(&world, &refuse, &[Role::Admin], &json!({ "reason": "worn" })).await, 409).await;
    let asked = world.service.published::<OrderRefundRequested>(id.uuid()).await;
    assert_eq!(asked.amount, total());
    world.service.published::<OrderRestockRequested>(id.uuid()).await;
    world.tell_thrice(&released(id)).await;
    world.tell_thrice(&refunded(id, payment, 4498, 4498)).await;
    let order = world.reaches(id, "returned").await;
    assert_eq!((&order["payment"], &order["fulfilment"]), (&"refunded".into(), &"returned".into()));
    assert_eq!(world.service.published::<OrderReturned>(id.uuid()).await.user_id, world.user);
}

#[tokio::test]
async fn only_what_has_arrived_lately_is_sent_back_and_by_whoever_ordered_it() {
    let world = World::start().await;
    let (id, _) = delivered(&world).await;
    let path = format!("/api/v1/orders/{id}/return");
    for bad in
        [json!({ "reason": " " }), json!({ "reason": "x".repeat(501) }), json!({ "why": "x" })]
    {
        json_of(post(&world, &path, &[], &bad).await, 422).await;
    }
    let stranger = world.service.request_as(contracts::UserId::new(), &[], "POST", &path);
    json_of(stranger.json(&json!({})).send().await.unwrap(), 404).await;
    let staff = world.service.request_as(contracts::UserId::new(), &[Role::Admin], "POST", &path);
    json_of(staff.json(&json!({})).send().await.unwrap(), 403).await;
    let (young, _) = paid(&world).await;
    let early = post(&world, &format!("/api/v1/orders/{young}/return"), &[], &json!({})).await;
    assert_eq!(json_of(early, 409).await["detail"], "an order that is paid cannot be sent back");

    let older = "UPDATE order_events SET created_at = created_at - interval '31 days'
                 WHERE order_id = $1 AND type = 'delivered'";
    sqlx::query(older).bind(id.uuid()).execute(world.service.pool()).await.unwrap();
    let late = json_of(post(&world, &path, &[], &json!({})).await, 409).await;
    assert_eq!(late["detail"], "an order can be sent back for 30 days after it has arrived");
}
