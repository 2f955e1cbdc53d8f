//! Reviews of products.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ProductId, ReviewId};

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
    /// Grows with every change of the sums, so that late news are known as such; absent in events from
    /// before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}
