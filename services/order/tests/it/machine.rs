//! The state machine under random events.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use contracts::events::{CancelReason, OrderLine};
use contracts::{Currency, Money, OrderId, PaymentId, ProductId, UserId};
use order::event::{Event, Payment, Placed, State};
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
        // Far away: the sweeper of the running service must not take part.
        expires_at: now() + TimeDelta::hours(1),
    }))
}

fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// Any event but the first, of one of two payments.
fn event() -> impl Strategy<Value = Event> {
    let payment = prop_oneof![Just(1), Just(2)].prop_map(|n| PaymentId::from(Uuid::from_u128(n)));
    let amount = Money::new(2000, Currency::EUR);
    let reason = prop_oneof![
        Just(CancelReason::PaymentDeclined),
        Just(CancelReason::ByCustomer),
        Just(CancelReason::ByStaff)
    ];
    prop_oneof![
        3 => Just(Event::Reserved { until: DateTime::UNIX_EPOCH }),
        1 => Just(Event::Rejected { shortages: vec![] }),
        3 => payment.clone().prop_map(|payment_id| Event::Paid { payment_id }),
        1 => reason.prop_map(|reason| Event::Cancelled { reason, detail: None }),
        1 => Just(Event::Expired {}),
        2 => payment.clone().prop_map(move |payment_id| Event::RefundRequested { payment_id, amount }),
        2 => payment.prop_map(move |payment_id| Event::Refunded { payment_id, amount }),
        2 => Just(Event::Shipped {}),
        2 => Just(Event::Delivered {}),
    ]
}

/// Which histories are legal, said a second time and in another way: by the whole word.
fn is_legal(history: &[&str]) -> bool {
    let Some(rest) = history.strip_prefix(&["placed"]) else {
        return false;
    };
    let way = ["reserved", "paid", "shipped", "delivered"];
    if way.starts_with(rest) {
        return true;
    }
    // Paid, but the stock was gone: to reject it is to ask for the refund.
    if let Some(money) = rest.strip_prefix(&["reserved", "paid", "rejected"]) {
        return ["refunded"].starts_with(money);
    }
    let rest = rest.strip_prefix(&["reserved"]).unwrap_or(rest);
    let ends = ["rejected", "cancelled", "expired"];
    let [end, money @ ..] = rest else {
        return false;
    };
    ends.contains(end) && ["refund_requested", "refunded"].starts_with(money)
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
            prop_assert_eq!(Order::after(Some(&order), &event, now()), Ok(None));
        }
        let names: Vec<&str> = history.iter().map(|(event, _)| event.name()).collect();
        prop_assert!(is_legal(&names), "{:?}", names);
        let folded = Order::fold(history.iter().map(|(event, at)| (event, *at)));
        prop_assert_eq!(folded, Ok(Some(order.clone())));
        prop_assert_eq!(order.state.has_ended(), order.reason.is_some());
        let paid = matches!(order.state, State::Paid | State::Shipped | State::Delivered);
        prop_assert_eq!(order.payment == Payment::Captured, paid);
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
    let order = saga.advance(&mut tx, None, &placed(), None).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let mut steps = 1;
    for event in events {
        let mut tx = world.service.pool().begin().await.unwrap();
        let before = order::db::lock(&mut tx, order.id).await.unwrap().unwrap();
        match saga.advance(&mut tx, Some(&before), event, None).await {
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
