//! Kinds of a product that are in stock by themselves: another size, another colour.

use std::collections::BTreeSet;

use contracts::events::ProductVariant;
use contracts::{Currency, Money, Sku};
use kit::problem::{Fields, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::product::{self, Attributes, Product};

/// Most variants of a product.
pub const MAX_VARIANTS: usize = 100;
/// Most attributes of a variant: it has what sets it apart, the product has the rest.
const MAX_ATTRIBUTES: usize = 10;

/// A kind of a product that is in stock by itself. Also what Postgres and the cache hold, so a new field
/// needs a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Variant {
    /// Its own stock keeping unit, unique in the shop; it never changes.
    pub sku: Sku,
    /// What sets it apart, for people.
    #[schema(example = "red, large")]
    pub name: String,
    /// What sets it apart, for programs, e.g. `{"colour": "red"}`.
    #[serde(default)]
    pub attributes: Attributes,
    /// Price of one.
    pub price: Money,
}

impl Variant {
    /// Refuses what no variant in a shop with this currency may be.
    pub fn check(&self, currency: Currency) -> Result<()> {
        let mut fields = Fields::default();
        self.look_at(&mut fields, "", currency);
        fields.finish()
    }

    /// Notes what is wrong with it; `at` is where it stands in the body.
    fn look_at(&self, fields: &mut Fields, at: &str, currency: Currency) {
        product::check_name(fields, at, &self.name);
        product::check_price(fields, at, self.price, currency);
        product::check_attributes(fields, at, &self.attributes, MAX_ATTRIBUTES);
    }

    /// What to tell others about it.
    pub fn told(&self) -> ProductVariant {
        ProductVariant { sku: self.sku.clone(), name: self.name.clone(), price: self.price }
    }
}

/// Notes what is wrong with the variants of a product.
pub(crate) fn check_all(fields: &mut Fields, product: &Product, currency: Currency) {
    let few = product.variants.len() <= MAX_VARIANTS;
    fields.check(few, "/variants", format!("up to {MAX_VARIANTS}"));
    let mut skus = BTreeSet::from([&product.sku]);
    for (index, variant) in product.variants.iter().enumerate() {
        let at = format!("/variants/{index}");
        variant.look_at(fields, &at, currency);
        let detail = "the product or another variant of it has this SKU";
        fields.check(skus.insert(&variant.sku), format!("{at}/sku"), detail);
    }
}
