//! What browsers are told of orders while they wait.

use chrono::{DateTime, Utc};
use contracts::{EventId, OrderId};
use serde::{Deserialize, Serialize};

/// What has become of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has arrived.
    Placed,
    /// It is paid.
    Paid,
    /// It could not be served from stock.
    Rejected,
    /// It was given up.
    Cancelled,
    /// It was not paid in time.
    Expired,
    /// The shopper is to confirm the payment.
    ActionRequired,
    /// It has left.
    Shipped,
    /// It has reached the shopper.
    Delivered,
    /// It has come back.
    Returned,
}

impl Step {
    /// What is told: `order.paid`.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Placed => "order.placed",
            Self::Paid => "order.paid",
            Self::Rejected => "order.rejected",
            Self::Cancelled => "order.cancelled",
            Self::Expired => "order.expired",
            Self::ActionRequired => "payment.action_required",
            Self::Shipped => "order.shipped",
            Self::Delivered => "order.delivered",
            Self::Returned => "order.returned",
        }
    }

    /// The state that the order is in now, as the order service names it.
    pub fn status(self) -> &'static str {
        match self {
            Self::Placed => "pending",
            Self::Paid => "paid",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::ActionRequired => "reserved",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Returned => "returned",
        }
    }
}

/// One piece of news about an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LiveEvent {
    /// Pass the last one as `last_event_id` to go on from there.
    pub id: EventId,
    /// What has happened.
    #[schema(example = "order.paid")]
    pub r#type: String,
    /// The order.
    pub order_id: OrderId,
    /// The state that the order is in since.
    #[schema(example = "paid")]
    pub status: String,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// Where the shopper does what is asked of them: with `payment.action_required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}
