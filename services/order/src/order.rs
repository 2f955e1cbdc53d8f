//! An order, and what its events make of it. What may happen to it at all is decided in one place, [`mod@step`]. No I/O.

mod step;

use chrono::{DateTime, Utc};
use contracts::events::{CancelReason, OrderLine, OrderSource, Shortage};
use contracts::{Availability, Money, OrderId, PaymentId, UserId};

pub use self::step::Illegal;
use self::step::{Step, step};
use crate::event::{Event, Fulfilment, Payment, Placed, Reason, State};
use crate::token::PaymentToken;

/// The goods of an order stay, as all of its money went back or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order that is refunded in full cannot be shipped; cancel it instead")]
pub struct RefundedInFull;

/// An order as its events have made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub user_id: UserId,
    /// How far it has come.
    pub state: State,
    /// Where the money is.
    pub payment: Payment,
    /// Where the goods are.
    pub fulfilment: Fulfilment,
    /// Why it has ended without goods.
    pub reason: Option<Reason>,
    /// More about the reason, fit to be shown.
    pub reason_detail: Option<String>,
    /// What was ordered.
    pub lines: Vec<OrderLine>,
    /// Sum of all lines.
    pub total: Money,
    /// What went back of it.
    pub refunded: Money,
    /// What the shopper wants to pay with.
    pub payment_token: PaymentToken,
    /// The payment that money was taken by.
    pub payment_id: Option<PaymentId>,
    /// When it ends unless it is paid.
    pub expires_at: DateTime<Utc>,
    /// Where the lines come from, if that is known.
    pub source: Option<OrderSource>,
    /// How many events have made it.
    pub version: i64,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When the last event happened.
    pub updated_at: DateTime<Utc>,
}

impl Order {
    /// The order after an event; none: it has happened before, and nothing changes.
    pub fn after(
        order: Option<&Self>,
        event: &Event,
        at: DateTime<Utc>,
    ) -> Result<Option<Self>, Illegal> {
        let Step::To(state) = step(order, event)? else {
            return Ok(None);
        };
        let mut order = match (order, event) {
            (_, Event::Placed(placed)) => Self::placed(placed, at),
            (Some(order), _) => order.clone(),
            (None, _) => return Err(Illegal { state: None, event: event.name() }),
        };
        order.version += 1;
        order.updated_at = at;
        order.state = state;
        order.settle(event);
        order.close();
        Ok(Some(order))
    }

    /// What a history adds up to; none: it is empty. Fails when it cannot have happened.
    pub fn fold<'a>(
        history: impl IntoIterator<Item = (&'a Event, DateTime<Utc>)>,
    ) -> Result<Option<Self>, Illegal> {
        history.into_iter().try_fold(None, |order: Option<Self>, (event, at)| {
            let next = Self::after(order.as_ref(), event, at)?;
            // Only what changes something is ever appended.
            let state = order.map(|order| order.state);
            next.map(Some).ok_or(Illegal { state, event: event.participle() })
        })
    }

    fn placed(placed: &Placed, at: DateTime<Utc>) -> Self {
        Self {
            id: placed.order_id,
            user_id: placed.user_id,
            state: State::Pending,
            payment: Payment::Unpaid,
            fulfilment: Fulfilment::None,
            reason: None,
            reason_detail: None,
            lines: placed.lines.clone(),
            total: placed.total,
            refunded: Money::zero(placed.total.currency),
            payment_token: placed.payment_token.clone(),
            payment_id: None,
            expires_at: placed.expires_at,
            source: placed.source.clone(),
            version: 0,
            created_at: at,
            updated_at: at,
        }
    }

    /// What else an event says, beside the state.
    fn settle(&mut self, event: &Event) {
        match event {
            Event::Placed(_) => {}
            Event::Reserved { .. } => self.fulfilment = Fulfilment::Reserved,
            Event::Rejected { shortages } => {
                self.end(Reason::OutOfStock);
                self.reason_detail = Some(missing(shortages));
                self.owe();
            }
            Event::Paid { payment_id } => {
                self.payment = Payment::Captured;
                self.payment_id = Some(*payment_id);
            }
            Event::Cancelled { reason, detail } => {
                self.end((*reason).into());
                self.reason_detail.clone_from(detail);
                if *reason == CancelReason::PaymentDeclined {
                    self.payment = Payment::Declined;
                }
            }
            Event::Expired {} => self.end(Reason::NotPaidInTime),
            Event::RefundRequested { payment_id, .. } => {
                self.payment = Payment::RefundRequested;
                self.payment_id = Some(*payment_id);
            }
            Event::Refunded { amount, total, .. } => {
                self.refunded = self.refunded_with(*amount, *total);
                if self.left().amount == 0 {
                    self.payment = Payment::Refunded;
                } else if self.payment == Payment::Captured {
                    self.payment = Payment::PartiallyRefunded;
                }
            }
            Event::Shipped {} => self.fulfilment = Fulfilment::Shipped,
            Event::Delivered {} => self.fulfilment = Fulfilment::Delivered,
            Event::CancelRequested { reason } => {
                self.reason = Some((*reason).into());
                self.owe();
            }
            Event::Restocked {} => {
                self.fulfilment = match self.fulfilment {
                    Fulfilment::Received => Fulfilment::Returned,
                    _ => Fulfilment::Released,
                }
            }
            Event::ReturnRequested { reason } => {
                self.fulfilment = Fulfilment::Returning;
                self.reason_detail.clone_from(reason);
            }
            Event::ReturnRefused { reason } => {
                self.fulfilment = Fulfilment::Delivered;
                self.reason_detail = Some(reason.clone());
            }
            Event::ReturnReceived {} => {
                self.fulfilment = Fulfilment::Received;
                self.owe();
            }
        }
    }

    /// An order that is given up or sent back is over when nothing is left to go back.
    fn close(&mut self) {
        if self.payment != Payment::Refunded {
            return;
        }
        match (self.state, self.fulfilment) {
            (State::Cancelling, Fulfilment::Released) => self.state = State::Cancelled,
            (State::Returning, Fulfilment::Returned) => self.state = State::Returned,
            _ => {}
        }
    }

    /// Whatever the shop still has of the money is to go back.
    fn owe(&mut self) {
        if matches!(self.payment, Payment::Captured | Payment::PartiallyRefunded) {
            self.payment = Payment::RefundRequested;
        }
    }

    /// What has not gone back of the total.
    pub fn left(&self) -> Money {
        Money::new(self.total.amount - self.refunded.amount, self.total.currency)
    }

    /// What went back in all after a refund. The payment says so itself; what an older one does not say is
    /// added up.
    fn refunded_with(&self, amount: Money, total: Option<Money>) -> Money {
        let sum = total.map_or(self.refunded.amount.saturating_add(amount.amount), |t| t.amount);
        // Refunds that are told in another order than they were made in do not take it back.
        Money::new(sum.clamp(self.refunded.amount, self.total.amount), self.total.currency)
    }

    /// What it is to give up the order as it is.
    pub fn cancellation(&self, reason: CancelReason) -> Event {
        match self.state {
            State::Paid | State::Cancelling => Event::CancelRequested { reason },
            _ => Event::Cancelled { reason, detail: None },
        }
    }

    /// What it is to send the order, of which so much has gone back or is to. Not for nothing: an order whose money goes
    /// back in full is over, though it may still be paid by its state. What was sent and refunded before this rule stays
    /// as it happened.
    pub fn shipment(&self, requested: Money) -> Result<Event, RefundedInFull> {
        let requested = requested.amount > 0 && requested.amount >= self.total.amount;
        if self.state == State::Paid && (requested || self.payment == Payment::Refunded) {
            return Err(RefundedInFull);
        }
        Ok(Event::Shipped {})
    }

    /// Whether it has ended unpaid by what its shopper did, or did not do.
    pub fn was_left_unpaid(&self) -> bool {
        let reasons = [Reason::NotPaidInTime, Reason::ByCustomer, Reason::PaymentDeclined];
        self.state.has_ended() && self.reason.is_some_and(|reason| reasons.contains(&reason))
    }

    /// Whether inventory still has to take the goods back.
    pub fn awaits_goods(&self) -> bool {
        match self.state {
            State::Cancelling => self.fulfilment == Fulfilment::Reserved,
            State::Returning => self.fulfilment == Fulfilment::Received,
            _ => false,
        }
    }

    /// Whether money or goods have yet to come back that only other services can bring.
    pub fn is_owed(&self) -> bool {
        self.payment == Payment::RefundRequested || self.awaits_goods()
    }

    fn end(&mut self, reason: Reason) {
        self.reason = Some(reason);
        if self.fulfilment == Fulfilment::Reserved {
            self.fulfilment = Fulfilment::Released;
        }
    }
}

impl From<CancelReason> for Reason {
    fn from(reason: CancelReason) -> Self {
        match reason {
            CancelReason::PaymentDeclined => Self::PaymentDeclined,
            CancelReason::ByCustomer => Self::ByCustomer,
            CancelReason::ByStaff => Self::ByStaff,
        }
    }
}

/// For people: what there was too little of.
fn missing(shortages: &[Shortage]) -> String {
    // The shopper reads it: how many units there are is not theirs to know.
    let left = |s: &Shortage| match s.available.into() {
        Availability::SoldOut => "sold out",
        Availability::FewLeft => "few left",
        Availability::InStock => "not so many left",
    };
    let line = |s: &Shortage| format!("{}: {} wanted, {}", s.sku, s.requested, left(s));
    shortages.iter().map(line).collect::<Vec<_>>().join("; ")
}
