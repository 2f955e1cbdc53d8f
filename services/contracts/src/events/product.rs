//! Products of the catalog.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ProductId, UserId};
use crate::money::Money;
use crate::sku::Sku;

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
    /// Its variants; empty: the product is sold as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<ProductVariant>,
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
    /// Whose product it is; absent in events from before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller_id: Option<UserId>,
    /// Its variants; empty: the product is sold as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<ProductVariant>,
}

/// A kind of a product that is in stock by itself: another size, another colour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProductVariant {
    /// Its own stock keeping unit.
    pub sku: Sku,
    /// What sets it apart, for people, e.g. `red, large`.
    pub name: String,
    /// Its price.
    pub price: Money,
}

/// A product is to be deleted: it cannot be ordered any more, and inventory is asked whether any of it is
/// held for an order. Answered by [`StockRetired`](super::StockRetired) or [`StockInUse`](super::StockInUse).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProductDeletionRequested {
    /// The product.
    pub product_id: ProductId,
    /// All of its stock keeping units.
    pub skus: Vec<Sku>,
}

/// A product is not deleted after all, and can be ordered as before: what was done about the request is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProductDeletionWithdrawn {
    /// The product.
    pub product_id: ProductId,
    /// All of its stock keeping units.
    pub skus: Vec<Sku>,
}

/// A product is gone; whoever refers to it lets go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProductDeleted {
    /// The product.
    pub product_id: ProductId,
    /// All of its stock keeping units.
    pub skus: Vec<Sku>,
}
