//! Money that came, did not come, or went back.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{OrderId, PaymentId, UserId};
use crate::money::Money;

/// The order's total was charged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentCaptured {
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// What was charged.
    pub amount: Money,
}

/// Nothing was charged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentFailed {
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// The provider's reason, fit to be shown, e.g. `card_declined`.
    pub reason: String,
}

/// Money went back to the shopper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefunded {
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// What was given back.
    pub amount: Money,
    /// What was given back of this payment in all, this time included; absent in events from before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded_total: Option<Money>,
}

/// Staff has asked for a refund: of `requested_total`, some may have gone back already, the rest follows. Published again when
/// the provider is asked again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefundRequested {
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// What is to go back.
    pub amount: Money,
    /// What of this payment has gone back or is to, this refund included.
    pub requested_total: Money,
}

/// The provider wants the shopper to do something before it charges, such as to confirm at their bank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentActionRequired {
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// Who pays.
    pub user_id: UserId,
    /// Where the shopper does it.
    pub url: String,
}

/// The shopper's bank wants the payment back, or the dispute about it has another status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentDisputed {
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// The provider, e.g. `stripe`.
    pub provider: String,
    /// The provider's name for the dispute.
    pub dispute: String,
    /// The bank's reason, e.g. `fraudulent`.
    pub reason: String,
    /// The provider's word for how far it has come, e.g. `needs_response`, `won`, `lost`.
    pub status: String,
    /// Until when it has to be answered, if it has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime<Utc>>,
}
