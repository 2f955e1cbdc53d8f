//! Orders: what the other services do, and what shoppers are told, because of them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Shortage;
use crate::id::{OrderId, ProductId, UserId};
use crate::money::Money;
use crate::sku::Sku;

/// One line of an order, as it was when the order was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct OrderLine {
    /// The product.
    pub product_id: ProductId,
    /// What is taken from stock.
    pub sku: Sku,
    /// The product's name at that time.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// Price of one at that time.
    pub unit_price: Money,
}

/// Where the lines of an order come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderSource {
    /// A cart: what was bought leaves it.
    Cart {
        /// The cart, as the cart service names it; that of an account by the account's id.
        id: String,
        /// Its version when it was ordered; absent when the cart did not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<i64>,
    },
    /// The request itself: no cart changes.
    Items,
}

/// A shopper has ordered; inventory reserves every line or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderPlaced {
    /// The order.
    pub order_id: OrderId,
    /// Who ordered.
    pub user_id: UserId,
    /// What was ordered; no SKU twice.
    pub lines: Vec<OrderLine>,
    /// Sum of all lines.
    pub total: Money,
    /// When the order expires unless it is paid.
    pub expires_at: DateTime<Utc>,
    /// Where the lines come from; absent in older events: the cart of `user_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<OrderSource>,
}

/// Stock is held for the order; payment charges its total.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderReserved {
    /// The order.
    pub order_id: OrderId,
    /// Who pays.
    pub user_id: UserId,
    /// What to charge.
    pub total: Money,
    /// The provider's token for the shopper's means of payment; never a card number.
    pub payment_token: String,
}

/// The order is paid; inventory commits the reservation, the cart forgets the lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderPaid {
    /// The order.
    pub order_id: OrderId,
    /// Who paid.
    pub user_id: UserId,
    /// What was bought.
    pub lines: Vec<OrderLine>,
    /// What was paid.
    pub total: Money,
    /// Where the lines come from; absent in older events: the cart of `user_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<OrderSource>,
}

/// The order could not be served from stock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderRejected {
    /// The order.
    pub order_id: OrderId,
    /// Who ordered.
    pub user_id: UserId,
    /// What there was too little of.
    pub shortages: Vec<Shortage>,
}

/// The order was given up; inventory releases what it held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderCancelled {
    /// The order.
    pub order_id: OrderId,
    /// Who ordered.
    pub user_id: UserId,
    /// Why.
    pub reason: CancelReason,
}

/// The order was not paid in time; inventory releases what it held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderExpired {
    /// The order.
    pub order_id: OrderId,
    /// Who ordered.
    pub user_id: UserId,
}

/// Money was taken for an order that had already ended; payment gives it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderRefundRequested {
    /// The order.
    pub order_id: OrderId,
    /// Who paid.
    pub user_id: UserId,
    /// What to give back.
    pub amount: Money,
}

/// Why an order was cancelled.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// The provider refused the charge.
    PaymentDeclined,
    /// The shopper asked for it.
    ByCustomer,
    /// Staff asked for it.
    ByStaff,
}

/// An order that was paid is given up, or its goods came back: inventory makes what had left the stock
/// available again and says [`StockReleased`](super::StockReleased).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderRestockRequested {
    /// The order.
    pub order_id: OrderId,
    /// Who ordered.
    pub user_id: UserId,
}

/// The goods have left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderShipped {
    /// The order.
    pub order_id: OrderId,
    /// Who ordered.
    pub user_id: UserId,
}

/// The goods have arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderDelivered {
    /// The order.
    pub order_id: OrderId,
    /// Who ordered.
    pub user_id: UserId,
    /// What was bought.
    pub lines: Vec<OrderLine>,
}

/// The goods have come back and the money was returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderReturned {
    /// The order.
    pub order_id: OrderId,
    /// Who ordered.
    pub user_id: UserId,
}
