//! The state machine under random events.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use contracts::events::{CancelReason, OrderLine};
use contracts::{Currency, Money, OrderId, PaymentId, ProductId, UserId};
use order::event::{Cause, Event, Fulfilment, Payment, Placed, State};
use order::order::Order;
use order::saga::StepError;
use proptest::prelude::*;
use uuid::Uuid;

use crate::world::World;

fn placed() -> Event {
    let unit_price = Money::new(1000, Currency::EUR);
    let line = OrderLine {
        product_id: ProductId::new(),
        sku: "A-1".parse().unwrap(),
        name: "A".to_owned(),
        quantity: 2,
        unit_price,
    };
    Event::Placed(Box::new(Placed {
        order_id: OrderId::new(),
        user_id: UserId::new(),
        lines: vec![line],
        total: Money::new(2000, Currency::EUR),
        payment_token: "tok_visa".parse().unwrap(),
        // Neither soon nor twice as far as orders have: the sweeper of the running service must not take part.
        expires_at: now() + TimeDelta::minutes(30),
        source: None,
    }))
}

fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// Any event but the first, of one of two payments.
fn event() -> impl Strategy<Value = Event> {
    let payment = prop_oneof![Just(1), Just(2)].prop_map(|n| PaymentId::from(Uuid::from_u128(n)));
    let amount = Money::new(2000, Currency::EUR);
    let part =
        prop_oneof![Just(500), Just(2000)].prop_map(|cents| Money::new(cents, Currency::EUR));
    let all = prop_oneof![Just(None), Just(Some(500)), Just(Some(2000))];
    let all = all.prop_map(|cents| cents.map(|cents| Money::new(cents, Currency::EUR)));
    let reason = prop_oneof![
        Just(CancelReason::PaymentDeclined),
        Just(CancelReason::ByCustomer),
        Just(CancelReason::ByStaff)
    ];
    prop_oneof![
        3 => Just(Event::Reserved { until: DateTime::UNIX_EPOCH }),
        1 => Just(Event::Rejected { shortages: vec![] }),
        3 => payment.clone().prop_map(|payment_id| Event::Paid { payment_id }),
        1 => reason.clone().prop_map(|reason| Event::Cancelled { reason, detail: None }),
        1 => Just(Event::Expired {}),
        2 => payment.clone().prop_map(move |payment_id| Event::RefundRequested { payment_id, amount }),
        4 => (payment, part, all).prop_map(|(payment_id, amount, total)| {
            Event::Refunded { payment_id, amount, total }
        }),
        2 => Just(Event::Shipped {}),
        2 => Just(Event::Delivered {}),
        1 => reason.prop_map(|reason| Event::CancelRequested { reason }),
        3 => Just(Event::Restocked {}),
        2 => Just(Event::ReturnRequested { reason: Some("too small".to_owned()) }),
        1 => Just(Event::ReturnRefused { reason: "worn".to_owned() }),
        2 => Just(Event::ReturnReceived {}),
    ]
}

/// Which histories are legal, said a second time and in another way: by the whole word. Money that goes back is
/// left out: it may do so whenever there is some.
fn is_legal(history: &[&str]) -> bool {
    let history: Vec<&str> = history.iter().copied().filter(|name| *name != "refunded").collect();
    let Some(rest) = history.strip_prefix(&["placed"]) else {
        return false;
    };
    let way = ["reserved", "paid", "shipped", "delivered"];
    if way.starts_with(rest) {
        return true;
    }
    // A return may be refused and asked for again; one that is received goes into stock.
    if let Some(mut back) = rest.strip_prefix(&way) {
        while let Some(again) = back.strip_prefix(&["return_requested", "return_refused"]) {
            back = again;
        }
        return ["return_requested", "return_received", "restocked"].starts_with(back);
    }
    // Paid, but the stock was gone: to reject it is to ask for the refund. Given up: goods and money go back.
    if let Some(end) = rest.strip_prefix(&["reserved", "paid"]) {
        return end == ["rejected"] || ["cancel_requested", "restocked"].starts_with(end);
    }
    let rest = rest.strip_prefix(&["reserved"]).unwrap_or(rest);
    let ends = ["rejected", "cancelled", "expired"];
    let [end, money @ ..] = rest else {
        return false;
    };
    ends.contains(end) && ["refund_requested"].starts_with(money)
}

/// Whether an event is another one when it comes again: each refund gives back more, unless it says how
/// much it is in all.
fn adds_up(event: &Event) -> bool {
    matches!(event, Event::Refunded { total: None, .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_sequence_of_events_leads_to_an_illegal_history(
        events in prop::collection::vec(event(), 0..24),
    ) {
        let (first, at) = (placed(), now());
        let mut order = Order::after(None, &first, at).unwrap().unwrap();
        let mut history = vec![(first, at)];
        for event in events {
            let at = now();
            match Order::after(Some(&order), &event, at) {
                // Nothing happens, or it may not happen: both leave the order as it is.
                Ok(None) | Err(_) => continue,
                Ok(Some(after)) => {
                    prop_assert_eq!(after.version, order.version + 1);
                    order = after;
                    history.push((event.clone(), at));
                }
            }
            // What has just happened does not happen again, however often it is told.
            if !adds_up(&event) {
                prop_assert_eq!(Order::after(Some(&order), &event, now()), Ok(None));
            }
            prop_assert!((0..=order.total.amount).contains(&order.refunded.amount));
            prop_assert_eq!(order.refunded == order.total, order.payment == Payment::Refunded);
            let over = matches!(order.state, State::Returned)
                || order.state == State::Cancelled && order.fulfilment == Fulfilment::Released;
            let waits = matches!(order.state, State::Cancelling | State::Returning);
            // Nothing is over while money or goods are out, and nothing waits for what is back.
            prop_assert!(!over || matches!(order.payment, Payment::Refunded | Payment::Unpaid | Payment::Declined | Payment::RefundRequested));
            prop_assert!(!waits || order.awaits_goods() || order.payment != Payment::Refunded
                || order.fulfilment == Fulfilment::Returning);
        }
        let names: Vec<&str> = history.iter().map(|(event, _)| event.name()).collect();
        prop_assert!(is_legal(&names), "{:?}", names);
        let folded = Order::fold(history.iter().map(|(event, at)| (event, *at)));
        prop_assert_eq!(folded, Ok(Some(order.clone())));
        let given_up = order.state.has_ended() || order.state == State::Cancelling;
        prop_assert_eq!(given_up, order.reason.is_some());
        // Whoever has the goods has paid for them, or was given money back on purpose.
        let kept = matches!(order.payment, Payment::Captured | Payment::PartiallyRefunded);
        let has_goods = matches!(order.state, State::Paid | State::Shipped | State::Delivered);
        prop_assert!(!has_goods || kept || order.payment == Payment::Refunded);
        prop_assert!(!kept || order.state.was_paid());
    }

    #[test]
    fn nothing_happens_to_an_order_that_was_not_placed(event in event()) {
        prop_assert!(Order::after(None, &event, now()).is_err());
    }

    #[test]
    fn events_are_read_as_they_were_written(event in event()) {
        let json = serde_json::to_value(&event).unwrap();
        prop_assert_eq!(&json["type"], event.name());
        prop_assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }
}

/// The same through the database: whatever is tried, the read model is what the events add up to.
#[tokio::test(flavor = "multi_thread")]
async fn the_read_model_is_the_fold_of_the_stored_events() {
    let world = World::start().await;
    let runtime = tokio::runtime::Handle::current();
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() };
    tokio::task::block_in_place(|| {
        proptest!(config, |(events in prop::collection::vec(event(), 0..12))| {
            runtime.block_on(tried(&world, &events));
        });
    });
}

async fn tried(world: &World, events: &[Event]) {
    let saga = crate::world::saga();
    let mut tx = world.service.pool().begin().await.unwrap();
    let order = saga.advance(&mut tx, None, &placed(), Cause::SYSTEM).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let mut steps = 1;
    for event in events {
        let mut tx = world.service.pool().begin().await.unwrap();
        let before = order::db::lock(&mut tx, order.id).await.unwrap().unwrap();
        match saga.advance(&mut tx, Some(&before), event, Cause::SYSTEM).await {
            Ok(after) => steps += usize::from(after.is_some()),
            Err(StepError::Illegal(_)) => {}
            Err(StepError::Sql(error)) => panic!("{error}"),
        }
        tx.commit().await.unwrap();
    }
    let history = world.history(order.id).await;
    assert!(is_legal(&history), "{history:?}");
    assert_eq!(history.len(), steps);
}
