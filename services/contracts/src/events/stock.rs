//! What there is, and what is held for orders.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{OrderId, ProductId, StockId};
use crate::sku::Sku;

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

/// There are units of a SKU again after there were none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StockAvailable {
    /// The stock of the SKU.
    pub stock_id: StockId,
    /// The SKU.
    pub sku: Sku,
    /// The product that it belongs to.
    pub product_id: ProductId,
    /// How many units can be sold now.
    pub available: i64,
    /// Whether units came in. False where they had only been held for an order that ended: those were never gone. Absent in
    /// older events, which do not distinguish the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restocked: Option<bool>,
}

/// There are no units of a SKU any more that could be sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StockDepleted {
    /// The stock of the SKU.
    pub stock_id: StockId,
    /// The SKU.
    pub sku: Sku,
    /// The product that it belongs to.
    pub product_id: ProductId,
}

/// Nothing of a product that is to be deleted is held for an order, and nothing will be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StockRetired {
    /// The product.
    pub product_id: ProductId,
}

/// Some of a product that is to be deleted is held for orders: it must not be deleted now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StockInUse {
    /// The product.
    pub product_id: ProductId,
    /// How many units are held.
    pub reserved: i64,
}
