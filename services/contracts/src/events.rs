//! Events: what has happened, told to whoever cares. Past tense, reverse DNS, versioned.
//!
//! A payload only ever grows optional fields; anything else is a new version beside the old one.
//! `schemas/` holds the JSON Schema of each, checked by `tests/generated.rs`.

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::email_token::EmailToken;
use crate::id::{OrderId, PaymentId, ProductId, ReviewId, StockId, UserId};
use crate::money::Money;
use crate::sku::Sku;
use crate::topics::Aggregate;

/// A payload with its type and the aggregate that it belongs to.
pub trait Event: Serialize + DeserializeOwned + JsonSchema + Send + Sync {
    /// The CloudEvents `type`, e.g. `io.shop-operator.order.placed.v1`.
    const TYPE: &'static str;
    /// Decides the topic.
    const AGGREGATE: Aggregate;

    /// The CloudEvents `subject` and the key of the record: events of one id keep their order.
    fn aggregate_id(&self) -> Uuid;
}

macro_rules! events {
    ($($event:ident: $aggregate:ident by $id:ident = $name:literal),+ $(,)?) => {
        $(impl Event for $event {
            const TYPE: &'static str = concat!("io.shop-operator.", $name, ".v1");
            const AGGREGATE: Aggregate = Aggregate::$aggregate;

            fn aggregate_id(&self) -> Uuid {
                self.$id.uuid()
            }
        })+

        /// The JSON Schema of every event, by its type.
        pub fn schemas() -> Vec<(&'static str, Schema)> {
            vec![$(($event::TYPE, schemars::schema_for!($event))),+]
        }
    };
}

events! {
    UserRegistered: User by user_id = "user.registered",
    EmailVerificationRequested: User by user_id = "user.email_verification_requested",
    PasswordResetRequested: User by user_id = "user.password_reset_requested",
    PasswordChanged: User by user_id = "user.password_changed",
    ProductCreated: Product by product_id = "product.created",
    ProductUpdated: Product by product_id = "product.updated",
    OrderPlaced: Order by order_id = "order.placed",
    OrderReserved: Order by order_id = "order.reserved",
    OrderPaid: Order by order_id = "order.paid",
    OrderRejected: Order by order_id = "order.rejected",
    OrderCancelled: Order by order_id = "order.cancelled",
    OrderExpired: Order by order_id = "order.expired",
    OrderRefundRequested: Order by order_id = "order.refund_requested",
    StockReserved: Stock by order_id = "stock.reserved",
    StockRejected: Stock by order_id = "stock.rejected",
    StockReleased: Stock by order_id = "stock.released",
    StockCommitted: Stock by order_id = "stock.committed",
    StockLow: Stock by stock_id = "stock.low",
    PaymentCaptured: Payment by order_id = "payment.captured",
    PaymentFailed: Payment by order_id = "payment.failed",
    PaymentRefunded: Payment by order_id = "payment.refunded",
    ReviewPosted: Review by product_id = "review.posted",
}

/// An account was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    /// The account.
    pub user_id: UserId,
    /// Where to write to.
    pub email: String,
    /// What the person wants to be called.
    pub name: String,
}

/// Somebody who has an account is to show that its address is theirs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailVerificationRequested {
    /// The account.
    pub user_id: UserId,
    /// What a letter to the address brings along.
    pub token: EmailToken,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// Somebody who may have an account wants to choose another password without knowing the old one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordResetRequested {
    /// The account.
    pub user_id: UserId,
    /// What a letter to the address brings along.
    pub token: EmailToken,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// An account has another password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordChanged {
    /// The account.
    pub user_id: UserId,
}

/// A product was put into the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProductCreated {
    /// The product.
    pub product_id: ProductId,
    /// Its stock keeping unit.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: Money,
    /// Whose product it is.
    pub seller_id: UserId,
}

/// Something shoppers see of a product was changed; this is how it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProductUpdated {
    /// The product.
    pub product_id: ProductId,
    /// Its stock keeping unit.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: Money,
    /// Whether it can be bought.
    pub on_sale: bool,
}

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

/// A line that stock could not serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct Shortage {
    /// The stock keeping unit.
    pub sku: Sku,
    /// How many were asked for.
    pub requested: u32,
    /// How many there were.
    pub available: i64,
}

/// Every line of the order is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StockReserved {
    /// The order.
    pub order_id: OrderId,
    /// When the hold ends by itself.
    pub expires_at: DateTime<Utc>,
}

/// No line of the order is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StockRejected {
    /// The order.
    pub order_id: OrderId,
    /// What there was too little of.
    pub shortages: Vec<Shortage>,
}

/// What was held for the order can be sold again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StockReleased {
    /// The order.
    pub order_id: OrderId,
    /// Whether the hold had run out of time, rather than been given up.
    pub expired: bool,
}

/// What was held for the order has left the stock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StockCommitted {
    /// The order.
    pub order_id: OrderId,
}

/// The available units of a SKU have come down to the threshold that staff has set, or the threshold
/// has come up to them. Not told again until there were more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StockLow {
    /// The stock of the SKU.
    pub stock_id: StockId,
    /// The SKU.
    pub sku: Sku,
    /// How many units can be sold now.
    pub available: i64,
    /// At or below how many the stock is low.
    pub threshold: i64,
}

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
}

/// A review was written, changed, removed, hidden or shown again; these are the product's sums now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewPosted {
    /// The product.
    pub product_id: ProductId,
    /// The review.
    pub review_id: ReviewId,
    /// Number of reviews that everybody may see.
    pub count: u32,
    /// Sum of their ratings.
    pub sum: u64,
}
