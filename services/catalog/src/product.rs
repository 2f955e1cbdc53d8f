//! What a product is, what may be said of it, and in which order shoppers see it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Utc};
use contracts::events::{ProductCreated, ProductUpdated};
use contracts::{Currency, Money, ProductId, Sku, UserId, text};
use kit::auth::Caller;
use kit::problem::{Fields, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::deletion::{Deletion, State};
use crate::image::Image;
use crate::spelling::{self, Respelt};
use crate::variant::{self, Variant};

/// Longest name, in characters.
const MAX_NAME: usize = 200;
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 5000;
/// Most attributes.
const MAX_ATTRIBUTES: usize = 50;
/// Longest name or value of an attribute, in characters.
const MAX_ATTRIBUTE: usize = 200;
/// Highest price in minor units: the largest order of the dearest product still fits 64 bits.
const MAX_PRICE: i64 = 1_000_000_000_000;

/// Properties of a product that have no field of their own, by name.
pub type Attributes = BTreeMap<String, String>;

/// A product as everybody sees it. Also what the cache holds, so a new field needs a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Product {
    /// The product.
    pub id: ProductId,
    /// Stock keeping unit, unique in the shop.
    pub sku: Sku,
    /// Name.
    pub name: String,
    /// A few sentences.
    pub description: String,
    /// Price of one.
    pub price: Money,
    /// Further properties, e.g. `{"colour": "red"}`.
    pub attributes: Attributes,
    /// Slug of its category.
    pub category: String,
    /// Who sells it.
    pub seller_id: UserId,
    /// Whether it can be bought.
    pub on_sale: bool,
    /// Kinds of it that are in stock by themselves, in the order in which they were added.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// How its deletion stands, or why the last one came to nothing; only its seller and administrators see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// Its images, in their order; the first stands for it in lists.
    #[serde(default)]
    pub images: Vec<Image>,
    /// Grows by one with every change; send it as `If-Match`.
    pub version: i64,
    /// When it was put into the catalog.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Product {
    /// Refuses what no product of a shop with this currency may be.
    pub fn check(&self, currency: Currency) -> Result<()> {
        let mut fields = Fields::default();
        check_name(&mut fields, "", &self.name);
        let short = self.description.chars().count() <= MAX_DESCRIPTION;
        fields.check(short, "/description", format!("up to {MAX_DESCRIPTION} characters"));
        fields.take("/description", text::lines(&self.description));
        check_price(&mut fields, "", self.price, currency);
        check_attributes(&mut fields, "", &self.attributes, MAX_ATTRIBUTES);
        variant::check_all(&mut fields, self, currency);
        fields.finish()
    }

    /// Whether it or a variant of it has this SKU.
    pub fn has(&self, sku: &Sku) -> bool {
        self.sku == *sku || self.variants.iter().any(|variant| variant.sku == *sku)
    }

    /// Whether it is to be gone soon: nobody changes it meanwhile.
    pub fn is_being_deleted(&self) -> bool {
        self.deletion.as_ref().is_some_and(|deletion| deletion.state == State::Deleting)
    }

    /// Whether it is the caller's own product, or the caller runs the shop.
    pub fn may_be_written_by(&self, caller: &Caller) -> bool {
        caller.manages(self.seller_id)
    }

    /// What whoever asks may see of it; what is not on sale is for those who write it.
    pub fn seen_by(&self, caller: Option<&Caller>) -> Option<Self> {
        match caller {
            Some(caller) if self.may_be_written_by(caller) => Some(self.clone()),
            _ => self.on_sale.then(|| self.for_shoppers()),
        }
    }

    /// What everybody may see of it.
    #[must_use]
    pub fn for_shoppers(&self) -> Self {
        Self { deletion: None, ..self.clone() }
    }

    /// What to tell others when it is new.
    pub fn created(&self) -> ProductCreated {
        ProductCreated {
            product_id: self.id,
            sku: self.sku.clone(),
            name: self.name.clone(),
            price: self.price,
            seller_id: self.seller_id,
            variants: self.variants.iter().map(Variant::told).collect(),
        }
    }

    /// What to tell others when it has changed.
    pub fn updated(&self) -> ProductUpdated {
        ProductUpdated {
            product_id: self.id,
            sku: self.sku.clone(),
            name: self.name.clone(),
            price: self.price,
            on_sale: self.on_sale,
            seller_id: Some(self.seller_id),
            variants: self.variants.iter().map(Variant::told).collect(),
        }
    }
}

/// Notes what is wrong with the name of a thing that stands at `at` in the body.
pub(crate) fn check_name(fields: &mut Fields, at: &str, name: &str) {
    let named = (1..=MAX_NAME).contains(&name.chars().count()) && name.trim() == name;
    let detail = format!("1 to {MAX_NAME} characters, no spaces around");
    fields.check(named, format!("{at}/name"), detail);
    fields.take(format!("{at}/name"), text::line(name));
}

/// Notes what is wrong with its price.
pub(crate) fn check_price(fields: &mut Fields, at: &str, price: Money, currency: Currency) {
    let priced = (1..=MAX_PRICE).contains(&price.amount);
    fields.check(priced, format!("{at}/price/amount"), format!("from 1 to {MAX_PRICE}"));
    let ours = price.currency == currency;
    fields.check(ours, format!("{at}/price/currency"), format!("this shop sells in {currency}"));
}

/// Notes what is wrong with its attributes, of which it may have so many.
pub(crate) fn check_attributes(
    fields: &mut Fields,
    at: &str,
    attributes: &Attributes,
    most: usize,
) {
    let at = format!("{at}/attributes");
    fields.check(attributes.len() <= most, at.clone(), format!("up to {most}"));
    let fits = |text: &str| (1..=MAX_ATTRIBUTE).contains(&text.chars().count());
    let short = attributes.iter().all(|(name, value)| fits(name) && fits(value));
    let detail = format!("names and values have 1 to {MAX_ATTRIBUTE} characters");
    fields.check(short, at.clone(), detail);
    fields.take(
        at,
        attributes
            .iter()
            .flat_map(|(name, value)| [name, value])
            .try_for_each(|one| text::line(one)),
    );
}

/// What to search for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// As they were typed, in the syntax of web searches: `"red mug" -travel`.
    pub typed: String,
    /// What some of them may have meant.
    pub respelt: Respelt,
}

/// Values of attributes to choose from, by name: one of them for each name.
pub type Chosen = BTreeMap<String, BTreeSet<String>>;

/// Which products to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Words to search for.
    pub words: Option<Words>,
    /// Slug of a category; what is in its parts counts.
    pub category: Option<String>,
    /// Lowest price, in minor units.
    pub price_min: Option<i64>,
    /// Highest price, in minor units.
    pub price_max: Option<i64>,
    /// What its attributes are.
    pub attributes: Chosen,
    /// Lowest average of its ratings; what nobody has rated fits none.
    pub rating_min: Option<f32>,
    /// Whether there must be units of it or of one of its variants.
    pub in_stock: bool,
}

/// In which order to list products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// What came last is first.
    Newest,
    /// The cheapest first.
    Price,
    /// The dearest first.
    #[serde(rename = "-price")]
    PriceDown,
    /// By name, in the order of a dictionary.
    Name,
    /// What is rated best is first, what nobody has rated last.
    Rating,
    /// What fits the words best is first.
    Relevance,
}

/// A product that was found, and how well it fits the words.
#[derive(Clone, Debug)]
pub struct Found {
    /// The product.
    pub product: Product,
    /// Average of its ratings, from 1 to 5; 0 while there is none.
    pub rating: f32,
    /// More is better; 0 without words, less when only another spelling fits.
    pub rank: f32,
}

/// Where a product stands in a list: what every order needs to go on after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The order that the list has.
    pub sort: Sort,
    /// Decides among equals.
    pub id: ProductId,
    /// For [`Sort::Newest`].
    pub created_at: DateTime<Utc>,
    /// For [`Sort::Price`] and [`Sort::PriceDown`].
    pub price: i64,
    /// For [`Sort::Name`].
    pub name: String,
    /// For [`Sort::Rating`].
    #[serde(default)]
    pub rating: f32,
    /// For [`Sort::Relevance`].
    pub rank: f32,
    /// What the first page took the words for; the others do too, whatever is put on sale meanwhile.
    #[serde(default, skip_serializing_if = "Respelt::is_empty")]
    pub respelt: Respelt,
}

impl Position {
    /// Whether [`Found::position`] could have said this: it comes back in a cursor, into which the caller can write
    /// what Postgres does not take.
    pub fn is_ours(&self) -> bool {
        let storable =
            !self.name.contains('\0') && self.rating.is_finite() && self.rank.is_finite();
        storable && (1..=9999).contains(&self.created_at.year()) && spelling::is_ours(&self.respelt)
    }
}

impl Found {
    /// Where this product stands in a list of that order.
    pub fn position(&self, sort: Sort, respelt: &Respelt) -> Position {
        let Product { id, created_at, price, name, .. } = &self.product;
        Position {
            sort,
            id: *id,
            created_at: *created_at,
            price: price.amount,
            name: name.clone(),
            rating: self.rating,
            rank: self.rank,
            respelt: respelt.clone(),
        }
    }
}
