//! What orders are made of: their states, and the events that change them. No I/O.

use chrono::{DateTime, Utc};
use contracts::events::{CancelReason, OrderLine, OrderSource, Shortage};
use contracts::{EventId, Money, OrderId, PaymentId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::token::PaymentToken;

/// Declares an enum that is stored and shown as a lower-case word.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, sqlx::Type,
        )]
        #[serde(rename_all = "snake_case")]
        #[sqlx(type_name = "text", rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }
    )+};
}

words! {
    /// How far an order has come.
    State {
        /// Placed; stock has not answered.
        Pending,
        /// Stock is held; payment has not answered.
        Reserved,
        /// Money was taken.
        Paid,
        /// On its way.
        Shipped,
        /// Arrived.
        Delivered,
        /// Given up after it was paid; money and goods are on their way back.
        Cancelling,
        /// Given up by the shopper, by staff, or because payment was declined.
        Cancelled,
        /// Not paid in time.
        Expired,
        /// Stock could not serve it.
        Rejected,
        /// The shopper sends it back.
        Returning,
        /// It came back, and so did the money.
        Returned,
    }

    /// Where the money is.
    Payment {
        /// None was taken.
        Unpaid,
        /// The shop has it.
        Captured,
        /// The provider has refused.
        Declined,
        /// All that the shop still has of it is to go back.
        RefundRequested,
        /// A part of it went back.
        PartiallyRefunded,
        /// It went back.
        Refunded,
    }

    /// Where the goods are.
    Fulfilment {
        /// Nothing is held.
        None,
        /// Held in stock.
        Reserved,
        /// On their way.
        Shipped,
        /// With the shopper.
        Delivered,
        /// Were held, and are for sale again.
        Released,
        /// The shopper sends them back.
        Returning,
        /// They came back, and are to be put into stock.
        Received,
        /// They came back, and are for sale again.
        Returned,
    }

    /// What somebody is to an order that they make something happen to.
    ActorKind {
        /// The account that it belongs to.
        Customer,
        /// An administrator.
        Admin,
        /// Nobody: the clock, or another service.
        System,
    }

    /// Why an order has ended without goods.
    Reason {
        /// Stock could not serve it.
        OutOfStock,
        /// The provider refused the charge.
        PaymentDeclined,
        /// It was not paid in time.
        NotPaidInTime,
        /// The shopper asked for it.
        ByCustomer,
        /// Staff asked for it.
        ByStaff,
    }
}

/// Who made something happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Actor {
    /// What they are to the order.
    pub kind: ActorKind,
    /// The account; none: it was no person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<UserId>,
}

/// Who made an event happen, and the event of another service that it follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Who.
    pub actor: Actor,
    /// The event of another service.
    pub event: Option<EventId>,
}

impl Cause {
    /// The shop itself, by the clock.
    pub const SYSTEM: Self =
        Self { actor: Actor { kind: ActorKind::System, id: None }, event: None };

    /// The shop itself, by an event of another service.
    pub fn event(id: EventId) -> Self {
        Self { event: Some(id), ..Self::SYSTEM }
    }

    /// A person who may act on the order of this account: its customer, or an administrator.
    pub fn caller(caller: UserId, owner: UserId) -> Self {
        let own = caller == owner;
        let kind = if own { ActorKind::Customer } else { ActorKind::Admin };
        Self { actor: Actor { kind, id: Some(caller) }, event: None }
    }
}

/// An event of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// What happened.
    pub event: Event,
    /// When.
    pub at: DateTime<Utc>,
    /// Who made it happen; none: an older release did not record it.
    pub actor: Option<Actor>,
}

/// What is known when an order is placed: everything about it that never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// The order.
    pub order_id: OrderId,
    /// Who ordered.
    pub user_id: UserId,
    /// Names and prices as they were at that time.
    pub lines: Vec<OrderLine>,
    /// Sum of all lines.
    pub total: Money,
    /// What the shopper wants to pay with.
    pub payment_token: PaymentToken,
    /// When the order ends unless it is paid.
    pub expires_at: DateTime<Utc>,
    /// Where the lines come from; absent in older events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<OrderSource>,
}

/// Something that has happened to an order, as `order_events` stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum Event {
    /// A shopper has ordered.
    Placed(Box<Placed>),
    /// Stock holds every line.
    Reserved {
        /// When the hold ends by itself.
        until: DateTime<Utc>,
    },
    /// Stock could not hold every line.
    Rejected {
        /// What there was too little of.
        shortages: Vec<Shortage>,
    },
    /// The total was charged.
    Paid {
        /// The payment.
        payment_id: PaymentId,
    },
    /// The order was given up.
    Cancelled {
        /// Why.
        reason: CancelReason,
        /// What the payment provider said.
        detail: Option<String>,
    },
    /// The order was not paid in time.
    Expired {},
    /// A paid order was given up: its money and its goods are to go back.
    CancelRequested {
        /// Why.
        reason: CancelReason,
    },
    /// What had been taken from stock for it, or was held, can be sold again.
    Restocked {},
    /// Money was taken though the order had ended.
    RefundRequested {
        /// The payment.
        payment_id: PaymentId,
        /// What was taken.
        amount: Money,
    },
    /// Money went back.
    Refunded {
        /// The payment.
        payment_id: PaymentId,
        /// What went back.
        amount: Money,
        /// What went back of the payment in all, this time included; absent in older events.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<Money>,
    },
    /// The goods have left.
    Shipped {},
    /// The goods have arrived.
    Delivered {},
    /// The shopper wants to send the goods back.
    ReturnRequested {
        /// Why, in the shopper's words.
        reason: Option<String>,
    },
    /// The goods stay with the shopper.
    ReturnRefused {
        /// Why, fit to be shown.
        reason: String,
    },
    /// The goods have come back: they are to be put into stock, and the money is to go back.
    ReturnReceived {},
}

impl Event {
    /// The word that stands for it in the history.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Placed(_) => "placed",
            Self::Reserved { .. } => "reserved",
            Self::Rejected { .. } => "rejected",
            Self::Paid { .. } => "paid",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired {} => "expired",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::Restocked {} => "restocked",
            Self::RefundRequested { .. } => "refund_requested",
            Self::Refunded { .. } => "refunded",
            Self::Shipped {} => "shipped",
            Self::Delivered {} => "delivered",
            Self::ReturnRequested { .. } => "return_requested",
            Self::ReturnRefused { .. } => "return_refused",
            Self::ReturnReceived {} => "return_received",
        }
    }
}

impl Event {
    /// How people say that it cannot happen: an order cannot be …
    pub fn participle(&self) -> &'static str {
        match self {
            Self::CancelRequested { .. } => "cancelled",
            Self::ReturnRequested { .. } => "sent back",
            Self::ReturnRefused { .. } => "refused to be taken back",
            Self::ReturnReceived {} => "taken back",
            _ => self.name(),
        }
    }
}

impl State {
    /// The word that stands for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Reserved => "reserved",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Returning => "returning",
            Self::Returned => "returned",
        }
    }

    /// Whether money was taken, and the goods were or are the shopper's.
    pub fn was_paid(self) -> bool {
        matches!(
            self,
            Self::Paid
                | Self::Shipped
                | Self::Delivered
                | Self::Cancelling
                | Self::Returning
                | Self::Returned
        )
    }

    /// Whether the order has ended without goods.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Cancelled | Self::Expired | Self::Rejected)
    }
}
