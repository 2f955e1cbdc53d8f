//! What is in a cart, and how it looks beside what the shop offers now. No I/O.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use contracts::{Availability, Currency, Money, ProductId, Sku};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a shopper saw of a product when putting it into the cart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// What is taken from stock.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: Money,
    /// How many could be had, if that was known. Kept, never shown.
    pub available: Option<i64>,
}

/// What a line is about. Its text, `<product>` or `<product> <SKU>`, names the line in Redis: carts from
/// before there were variants have the former alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thing {
    /// The product.
    pub product_id: ProductId,
    /// Which variant of it; none: the product as it is.
    pub variant: Option<Sku>,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.variant {
            Some(sku) => write!(f, "{} {sku}", self.product_id),
            None => self.product_id.fmt(f),
        }
    }
}

impl FromStr for Thing {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (product, variant) = match text.split_once(' ') {
            Some((product, sku)) => (product, Some(sku.parse()?)),
            None => (text, None),
        };
        Ok(Self { product_id: product.parse()?, variant })
    }
}

/// A line as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it is about.
    pub thing: Thing,
    /// How many.
    pub quantity: u32,
    /// When it was first added, in milliseconds since the epoch; lines are shown in this order.
    pub since: i64,
    /// What the shopper saw when last changing the line.
    pub seen: Seen,
}

/// What is in a cart.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// Its lines, in no order.
    pub lines: Vec<Line>,
    /// Raised by every change of the lines; 0: they have not changed since carts have versions.
    pub version: i64,
}

/// What the catalog offers of a product now.
#[derive(Clone, Debug)]
pub struct Offers {
    /// The product as it is.
    pub own: Offer,
    /// Its variants.
    pub variants: Vec<Offer>,
}

impl Offers {
    /// What is offered of this variant, or of the product as it is.
    pub fn of(&self, variant: Option<&Sku>) -> Option<&Offer> {
        match variant {
            Some(sku) => self.variants.iter().find(|offer| offer.sku == *sku),
            None => Some(&self.own),
        }
    }

    /// What this SKU is of the product with this id, if it is anything; the product as it is may be
    /// named by its own SKU or by none.
    pub fn thing(&self, product_id: ProductId, sku: Option<Sku>) -> Option<(Thing, Offer)> {
        let variant = sku.filter(|sku| *sku != self.own.sku);
        let offer = self.of(variant.as_ref())?.clone();
        Some((Thing { product_id, variant }, offer))
    }
}

/// What the catalog offers of one thing now.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What is taken from stock.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: Money,
    /// Whether it can be bought.
    pub on_sale: bool,
}

/// A line as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CartItem {
    /// The product.
    pub product_id: ProductId,
    /// What is taken from stock: the product's own stock keeping unit, or a variant's.
    pub sku: Sku,
    /// Its name; a variant's stands in brackets behind the product's.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// Whether it can be bought now.
    pub on_sale: bool,
    /// Price of one now; null when it cannot be bought.
    pub unit_price: Option<Money>,
    /// Price of all now; null when it cannot be bought, or is more than can be counted.
    pub line_total: Option<Money>,
    /// Price of one when the shopper last changed the line.
    pub seen_unit_price: Money,
    /// Whether the price is another than the shopper saw.
    pub price_changed: bool,
    /// Whether it can be had now; null when that is not known.
    pub availability: Option<Availability>,
    /// Whether that is not what the shopper saw.
    pub stock_changed: bool,
}

/// A cart as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Cart {
    /// Its lines, in the order in which they were added.
    pub items: Vec<CartItem>,
    /// Sum of what can be bought; null when it is more than can be counted.
    pub total: Option<Money>,
    /// Raised by every change of the lines; an order names it as `cart_version`.
    #[schema(minimum = 0)]
    pub version: i64,
}

impl Cart {
    /// These lines beside what is offered and in stock now. What `stock` does not know is null.
    pub fn new(
        Contents { mut lines, version }: Contents,
        offers: &HashMap<ProductId, Offers>,
        stock: &HashMap<Sku, i64>,
        currency: Currency,
    ) -> Self {
        lines.sort_by(|one, other| (one.since, &one.thing).cmp(&(other.since, &other.thing)));
        let items: Vec<CartItem> =
            lines.into_iter().map(|line| item(line, offers, stock)).collect();
        let total = items
            .iter()
            .filter(|item| item.on_sale)
            .try_fold(Money::zero(currency), |sum, item| sum.plus(item.line_total?).ok());
        Self { items, total, version }
    }
}

/// What is offered now of what a line is about.
pub(crate) fn offer_of<'o>(
    line: &Line,
    offers: &'o HashMap<ProductId, Offers>,
) -> Option<&'o Offer> {
    offers.get(&line.thing.product_id)?.of(line.thing.variant.as_ref())
}

fn item(line: Line, offers: &HashMap<ProductId, Offers>, stock: &HashMap<Sku, i64>) -> CartItem {
    let offer = offer_of(&line, offers);
    let Line { thing: Thing { product_id, .. }, quantity, seen, .. } = line;
    let (sku, name) = match offer {
        Some(offer) => (offer.sku.clone(), offer.name.clone()),
        // The catalog has it no more; the shopper still wants to know what it was.
        None => (seen.sku, seen.name),
    };
    let unit_price = offer.filter(|offer| offer.on_sale).map(|offer| offer.price);
    let availability = stock.get(&sku).copied().map(Availability::from);
    let seen_availability = seen.available.map(Availability::from);
    CartItem {
        product_id,
        name,
        quantity,
        on_sale: unit_price.is_some(),
        unit_price,
        line_total: unit_price.and_then(|price| price.times(quantity).ok()),
        seen_unit_price: seen.price,
        price_changed: unit_price.is_some_and(|price| price != seen.price),
        availability,
        stock_changed: availability.is_some()
            && seen_availability.is_some()
            && availability != seen_availability,
        sku,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euros(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    fn line(quantity: u32, since: i64) -> Line {
        let seen = Seen {
            sku: "A-1".parse().unwrap(),
            name: "Old".to_owned(),
            price: euros(100),
            available: Some(5),
        };
        let thing = Thing { product_id: ProductId::new(), variant: None };
        Line { thing, quantity, since, seen }
    }

    fn contents(lines: Vec<Line>) -> Contents {
        Contents { lines, version: 1 }
    }

    fn offer(amount: i64, on_sale: bool) -> Offers {
        let (sku, name) = ("A-1".parse().unwrap(), "New".to_owned());
        let own = Offer { sku, name, price: euros(amount), on_sale };
        let variant = Offer { sku: "A-2".parse().unwrap(), ..own.clone() };
        Offers { own, variants: vec![variant] }
    }

    #[test]
    fn a_thing_is_its_text_and_a_product_may_be_named_by_its_own_sku() {
        let (product_id, offers) = (ProductId::new(), offer(1, true));
        let sku = |text: &str| text.parse::<Sku>().unwrap();
        let thing = |sku| offers.thing(product_id, sku).map(|(thing, _)| thing);
        let own = Thing { product_id, variant: None };
        let variant = Thing { product_id, variant: Some(sku("A-2")) };
        assert_eq!((thing(None), thing(Some(sku("A-1")))), (Some(own.clone()), Some(own.clone())));
        assert_eq!(thing(Some(sku("A-2"))), Some(variant.clone()));
        assert_eq!(thing(Some(sku("A-3"))), None);
        for thing in [own, variant] {
            assert_eq!(thing.to_string().parse::<Thing>().unwrap(), thing);
        }
        for bad in ["", "A-2", &format!("{product_id} "), &format!("{product_id} a"), " A-2"] {
            assert!(bad.parse::<Thing>().is_err(), "{bad}");
        }
    }

    #[test]
    fn changes_are_marked_and_only_what_is_on_sale_counts() {
        let (same, dearer, off, gone) = (line(2, 4), line(1, 3), line(1, 2), line(1, 1));
        let offers = HashMap::from([
            (same.thing.product_id, offer(100, true)),
            (dearer.thing.product_id, offer(101, true)),
            (off.thing.product_id, offer(100, false)),
        ]);
        let stock = HashMap::from([("A-1".parse().unwrap(), 0)]);
        let cart =
            Cart::new(contents(vec![same, dearer, off, gone]), &offers, &stock, Currency::EUR);
        let marks: Vec<_> = cart.items.iter().map(|i| (i.on_sale, i.price_changed)).collect();
        assert_eq!(marks, [(false, false), (false, false), (true, true), (true, false)]);
        let names: Vec<_> = cart.items.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["Old", "New", "New", "New"]);
        let sold_out = Some(Availability::SoldOut);
        assert!(cart.items.iter().all(|i| i.stock_changed && i.availability == sold_out));
        assert_eq!(cart.total, Some(euros(301)));
    }

    #[test]
    fn unknown_stock_is_null_and_no_change() {
        let line = line(1, 1);
        let offers = HashMap::from([(line.thing.product_id, offer(100, true))]);
        let cart = Cart::new(contents(vec![line]), &offers, &HashMap::new(), Currency::EUR);
        assert_eq!((cart.items[0].availability, cart.items[0].stock_changed), (None, false));
    }

    /// Each purchase of others would be counted by it.
    #[test]
    fn another_count_that_looks_the_same_is_no_change_of_stock() {
        let line = line(1, 1);
        let offers = HashMap::from([(line.thing.product_id, offer(100, true))]);
        for (units, changed) in [(5, false), (4, false), (10, false), (11, true), (0, true)] {
            let stock = HashMap::from([("A-1".parse().unwrap(), units)]);
            let cart = Cart::new(contents(vec![line.clone()]), &offers, &stock, Currency::EUR);
            assert_eq!(cart.items[0].stock_changed, changed, "5, then {units}");
        }
    }

    #[test]
    fn a_total_that_is_too_large_is_null() {
        let line = line(3, 1);
        let offers = HashMap::from([(line.thing.product_id, offer(i64::MAX / 2, true))]);
        let cart = Cart::new(contents(vec![line]), &offers, &HashMap::new(), Currency::EUR);
        assert_eq!((cart.items[0].line_total, cart.total), (None, None));
        assert_eq!(cart.items[0].unit_price, Some(euros(i64::MAX / 2)));
    }
}
