//! Events: what has happened, told to whoever cares. Past tense, reverse DNS, versioned.
//!
//! A payload only ever grows optional fields; anything else is a new version beside the old one.
//! `schemas/` holds the JSON Schema of each, checked by `tests/generated.rs`.

mod order;
mod payment;
mod product;
mod review;
mod stock;
mod user;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use self::order::*;
pub use self::payment::*;
pub use self::product::*;
pub use self::review::*;
pub use self::stock::*;
pub use self::user::*;
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
    EmailVerified: User by user_id = "user.email_verified",
    PasswordResetRequested: User by user_id = "user.password_reset_requested",
    PasswordChanged: User by user_id = "user.password_changed",
    RegistrationAttempted: User by user_id = "user.registration_attempted",
    FavouriteAvailable: User by user_id = "user.favourite_available",
    ProductCreated: Product by product_id = "product.created",
    ProductUpdated: Product by product_id = "product.updated",
    ProductDeletionRequested: Product by product_id = "product.deletion_requested",
    ProductDeletionWithdrawn: Product by product_id = "product.deletion_withdrawn",
    ProductDeleted: Product by product_id = "product.deleted",
    OrderPlaced: Order by order_id = "order.placed",
    OrderReserved: Order by order_id = "order.reserved",
    OrderPaid: Order by order_id = "order.paid",
    OrderRejected: Order by order_id = "order.rejected",
    OrderCancelled: Order by order_id = "order.cancelled",
    OrderExpired: Order by order_id = "order.expired",
    OrderRefundRequested: Order by order_id = "order.refund_requested",
    OrderRestockRequested: Order by order_id = "order.restock_requested",
    OrderShipped: Order by order_id = "order.shipped",
    OrderDelivered: Order by order_id = "order.delivered",
    OrderReturned: Order by order_id = "order.returned",
    StockReserved: Stock by order_id = "stock.reserved",
    StockRejected: Stock by order_id = "stock.rejected",
    StockReleased: Stock by order_id = "stock.released",
    StockCommitted: Stock by order_id = "stock.committed",
    StockLow: Stock by stock_id = "stock.low",
    StockAvailable: Stock by stock_id = "stock.available",
    StockDepleted: Stock by stock_id = "stock.depleted",
    StockRetired: Stock by product_id = "stock.retired",
    StockInUse: Stock by product_id = "stock.in_use",
    PaymentCaptured: Payment by order_id = "payment.captured",
    PaymentFailed: Payment by order_id = "payment.failed",
    PaymentActionRequired: Payment by order_id = "payment.action_required",
    PaymentRefundRequested: Payment by order_id = "payment.refund_requested",
    PaymentRefunded: Payment by order_id = "payment.refunded",
    PaymentDisputed: Payment by order_id = "payment.disputed",
    ReviewPosted: Review by product_id = "review.posted",
}
