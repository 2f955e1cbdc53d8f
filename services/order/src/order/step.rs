//! The state machine of orders: what may happen when.

use contracts::PaymentId;

use super::Order;
use crate::event::{Event, Fulfilment, Payment, State};

/// An event that cannot happen to an order as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {} cannot be {event}", .state.map_or("not placed", State::word))]
pub struct Illegal {
    /// The state; none: there is no such order.
    pub state: Option<State>,
    /// The event's name.
    pub event: &'static str,
}

/// What an event means for an order.
pub(super) enum Step {
    /// It comes into this state, which may be the one that it is in.
    To(State),
    /// It has happened before.
    Repeated,
}

/// The state machine of orders.
#[expect(clippy::match_same_arms, reason = "a step and its repetition stand together")]
pub(super) fn step(order: Option<&Order>, event: &Event) -> Result<Step, Illegal> {
    use Event as E;
    use State::{
        Cancelled, Cancelling, Delivered, Expired, Paid, Pending, Rejected, Reserved, Returned,
        Returning, Shipped,
    };
    use Step::{Repeated, To};

    let state = order.map(|order| order.state);
    let payment = order.map_or(Payment::Unpaid, |order| order.payment);
    let goods = order.map_or(Fulfilment::None, |order| order.fulfilment);
    // A payment is known by its id: another one's money is not the same event again.
    let known = |id: &PaymentId| order.is_some_and(|order| order.payment_id == Some(*id));
    // Of a delivered order, nothing but a refusal has more to say.
    let told = |reason: &str| order.is_some_and(|o| o.reason_detail.as_deref() == Some(reason));
    Ok(match (state, event) {
        (None, E::Placed(_)) => To(Pending),
        (Some(_), E::Placed(_)) => Repeated,

        (Some(Pending), E::Reserved { .. }) => To(Reserved),
        (Some(Reserved), E::Reserved { .. }) => Repeated,
        (Some(Reserved), E::Paid { .. }) => To(Paid),
        (Some(Paid), E::Shipped {}) => To(Shipped),
        (Some(Shipped), E::Delivered {}) => To(Delivered),
        // What has led to where the order is now does not happen again.
        (Some(now), E::Reserved { .. }) if now.was_paid() => Repeated,
        (Some(now), E::Paid { payment_id }) if now.was_paid() && known(payment_id) => Repeated,
        (Some(Shipped | Delivered | Returning | Returned), E::Shipped {}) => Repeated,
        (Some(Delivered | Returning | Returned), E::Delivered {}) => Repeated,

        // A paid one too: its reservation had run out, and the units are sold.
        (Some(Pending | Reserved | Paid), E::Rejected { .. }) => To(Rejected),
        (Some(Rejected), E::Rejected { .. }) => Repeated,
        (Some(Pending | Reserved), E::Cancelled { .. }) => To(Cancelled),
        (Some(Cancelled), E::Cancelled { .. }) => Repeated,
        (Some(Pending | Reserved), E::Expired {}) => To(Expired),
        (Some(Expired), E::Expired {}) => Repeated,

        // Both of these end by themselves, once the goods are in stock and the money is gone.
        (Some(Paid), E::CancelRequested { .. }) => To(Cancelling),
        (Some(Cancelling | Cancelled), E::CancelRequested { .. }) => Repeated,
        (Some(Cancelling), E::Restocked {}) if goods == Fulfilment::Reserved => To(Cancelling),
        (Some(Delivered), E::ReturnRequested { .. }) => To(Returning),
        (Some(Returning | Returned), E::ReturnRequested { .. }) => Repeated,
        (Some(Returning), E::ReturnRefused { .. }) if goods == Fulfilment::Returning => {
            To(Delivered)
        }
        (Some(Delivered), E::ReturnRefused { reason }) if told(reason) => Repeated,
        (Some(Returning), E::ReturnReceived {}) if goods == Fulfilment::Returning => To(Returning),
        (Some(Returning | Returned), E::ReturnReceived {}) => Repeated,
        (Some(Returning), E::Restocked {}) if goods == Fulfilment::Received => To(Returning),
        // Whoever asks twice is answered twice.
        (Some(now), E::Restocked {}) if now.has_ended() || now == Returned => Repeated,
        (Some(Cancelling), E::Restocked {}) => Repeated,
        (Some(Returning), E::Restocked {}) if goods == Fulfilment::Returned => Repeated,

        (Some(ended), E::RefundRequested { payment_id, .. }) if ended.has_ended() => {
            match payment {
                Payment::Unpaid | Payment::Declined => To(ended),
                _ if known(payment_id) => Repeated,
                _ => return Err(Illegal { state, event: event.participle() }),
            }
        }
        // Staff may give back a part whenever there is money; of one that has ended all goes back.
        (Some(now), E::Refunded { payment_id, amount, total }) if known(payment_id) => {
            let more =
                |order: &Order| order.refunded_with(*amount, *total).amount > order.refunded.amount;
            if order.is_some_and(more) { To(now) } else { Repeated }
        }

        _ => return Err(Illegal { state, event: event.participle() }),
    })
}
