//! From what a shopper wants to what an order says. No I/O.

use std::collections::HashMap;

use contracts::events::OrderLine;
use contracts::limits::{MAX_LINES, MAX_QUANTITY};
use contracts::{Currency, Money, MoneyError, ProductId, Sku};
use kit::problem::{Fields, Problem, Result};
use serde::{Deserialize, Serialize};

/// What is said of a quantity that no line can have.
const TOO_MANY: &str = "must be from 1 to 10000, all lines of a SKU together";

/// Something that a shopper wants. It has no price: that is the catalog's to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The product.
    pub product_id: ProductId,
    /// One of its variants; without it, the product's own SKU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// How many, 1 to 10 000.
    #[schema(minimum = 1, maximum = 10_000)]
    pub quantity: u32,
}

/// What the catalog offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What is taken from stock.
    pub sku: Sku,
    /// Its name now.
    pub name: String,
    /// Its price now.
    pub price: Money,
    /// Whether it can be bought.
    pub on_sale: bool,
    /// Kinds of it that are in stock by themselves.
    pub variants: Vec<Variant>,
}

/// A kind of a product.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What is taken from stock.
    pub sku: Sku,
    /// What sets it apart.
    pub name: String,
    /// Its price now.
    pub price: Money,
}

impl Offer {
    /// SKU, name and price of what is wanted of it; none: it has no such variant.
    fn choice(&self, sku: Option<&Sku>) -> Option<(Sku, String, Money)> {
        let own = (self.sku.clone(), self.name.clone(), self.price);
        match sku {
            None => Some(own),
            Some(sku) if *sku == self.sku => Some(own),
            Some(sku) => self.variants.iter().find(|variant| variant.sku == *sku).map(|variant| {
                (variant.sku.clone(), format!("{} ({})", self.name, variant.name), variant.price)
            }),
        }
    }
}

/// Items with each choice once, and the place where each was asked for first.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted(Vec<(usize, Item)>);

impl Wanted {
    /// Checks quantities and adds up those of the same choice.
    pub fn new(items: &[Item]) -> Result<Self> {
        let mut fields = Fields::default();
        fields.check(!items.is_empty(), "/items", "there is nothing to order");
        fields.check(
            items.len() <= MAX_LINES,
            "/items",
            format!("an order has at most {MAX_LINES} lines"),
        );
        fields.finish()?;
        let mut fields = Fields::default();
        let mut wanted: Vec<(usize, Item)> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let same = |seen: &Item| (seen.product_id, &seen.sku) == (item.product_id, &item.sku);
            let seen = wanted.iter_mut().find(|(_, seen)| same(seen));
            let sum = seen.as_ref().map_or(0, |(_, seen)| seen.quantity);
            let sum = sum.saturating_add(item.quantity);
            fields.check(
                item.quantity >= 1 && sum <= MAX_QUANTITY,
                format!("/items/{index}/quantity"),
                TOO_MANY,
            );
            match seen {
                Some((_, seen)) => seen.quantity = sum,
                None => wanted.push((index, item.clone())),
            }
        }
        fields.finish().map(|()| Self(wanted))
    }

    /// The products.
    pub fn products(&self) -> impl Iterator<Item = ProductId> {
        self.0.iter().map(|(_, item)| item.product_id)
    }

    /// Order lines at the prices of now, no SKU twice, and their sum.
    pub fn priced(
        &self,
        offers: &HashMap<ProductId, Offer>,
        currency: Currency,
    ) -> Result<(Vec<OrderLine>, Money)> {
        let mut fields = Fields::default();
        let mut lines: Vec<OrderLine> = Vec::with_capacity(self.0.len());
        for (index, Item { product_id, sku, quantity }) in &self.0 {
            let (product_id, quantity) = (*product_id, *quantity);
            let Some(offer) = offers.get(&product_id).filter(|offer| offer.on_sale) else {
                let pointer = format!("/items/{index}/product_id");
                fields.check(false, pointer, format!("{product_id} is not on sale"));
                continue;
            };
            let Some((sku, name, unit_price)) = offer.choice(sku.as_ref()) else {
                let told = format!("{product_id} has no such variant");
                fields.check(false, format!("/items/{index}/sku"), told);
                continue;
            };
            // The product's own SKU may have been named once and left out once.
            if let Some(line) = lines.iter_mut().find(|line| line.sku == sku) {
                line.quantity = line.quantity.saturating_add(quantity);
                let fits = line.quantity <= MAX_QUANTITY;
                fields.check(fits, format!("/items/{index}/quantity"), TOO_MANY);
            } else {
                lines.push(OrderLine { product_id, sku, name, quantity, unit_price });
            }
        }
        fields.finish()?;
        let total = lines.iter().try_fold(Money::zero(currency), |sum, line| {
            line.unit_price.times(line.quantity).and_then(|price| sum.plus(price))
        });
        match total {
            Ok(total) if total.amount >= 0 => Ok((lines, total)),
            Err(MoneyError::Overflow) => {
                Err(Problem::invalid_field("/items", "the total is too large"))
            }
            Ok(total) => Err(Problem::internal(format!("a total of {total}"))),
            // The catalog sells in another currency than this shop does.
            Err(error) => Err(Problem::internal(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::problem::{INTERNAL, INVALID};

    fn item(product_id: ProductId, quantity: u32) -> Item {
        Item { product_id, sku: None, quantity }
    }

    fn offer(amount: i64, on_sale: bool) -> Offer {
        let price = Money::new(amount, Currency::EUR);
        let sku = format!("A-{amount}").parse().unwrap();
        Offer { sku, name: "A".to_owned(), price, on_sale, variants: vec![] }
    }

    #[test]
    fn a_variant_has_its_own_sku_name_and_price() {
        let a = ProductId::new();
        let red = Variant {
            sku: "A-RED".parse().unwrap(),
            name: "red".to_owned(),
            price: Money::new(7, Currency::EUR),
        };
        let offers = HashMap::from([(a, Offer { variants: vec![red], ..offer(5, true) })]);
        let wish = |sku: Option<&str>, quantity| Item {
            sku: sku.map(|sku| sku.parse().unwrap()),
            ..item(a, quantity)
        };
        let priced = |items: &[Item]| Wanted::new(items)?.priced(&offers, Currency::EUR);
        let own = "A-5";
        let (lines, total) =
            priced(&[wish(None, 1), wish(Some("A-RED"), 2), wish(Some(own), 3)]).unwrap();
        let lines: Vec<_> = lines
            .iter()
            .map(|line| (line.sku.as_str(), line.name.as_str(), line.quantity))
            .collect();
        assert_eq!(lines, [(own, "A", 4), ("A-RED", "A (red)", 2)]);
        assert_eq!(total.amount, 4 * 5 + 2 * 7);
        assert_eq!(priced(&[wish(Some("A-BLUE"), 1)]).unwrap_err().kind(), INVALID);
        let many = [wish(None, MAX_QUANTITY), wish(Some(own), 1)];
        assert_eq!(priced(&many).unwrap_err().kind(), INVALID);
    }

    #[test]
    fn lines_of_one_product_are_one_line_up_to_the_limit() {
        let (a, b) = (ProductId::new(), ProductId::new());
        let wanted = Wanted::new(&[item(a, 1), item(b, 2), item(a, 3)]).unwrap();
        assert_eq!(wanted, Wanted(vec![(0, item(a, 4)), (1, item(b, 2))]));
        assert!(Wanted::new(&[item(a, MAX_QUANTITY)]).is_ok());
        for bad in [
            vec![],
            vec![item(a, 0)],
            vec![item(a, MAX_QUANTITY + 1)],
            vec![item(a, MAX_QUANTITY), item(a, 1)],
            vec![item(a, u32::MAX), item(a, u32::MAX)],
            (0..=MAX_LINES).map(|_| item(ProductId::new(), 1)).collect(),
        ] {
            assert_eq!(Wanted::new(&bad).unwrap_err().kind(), INVALID);
        }
    }

    #[test]
    fn prices_come_from_the_offer_and_totals_do_not_overflow() {
        let (a, b) = (ProductId::new(), ProductId::new());
        let wanted = Wanted::new(&[item(a, 2), item(b, 1)]).unwrap();
        let total = |a_price, b_price, b_on_sale| {
            let offers = HashMap::from([(a, offer(a_price, true)), (b, offer(b_price, b_on_sale))]);
            wanted.priced(&offers, Currency::EUR).map(|(_, total)| total.amount)
        };
        assert_eq!(total(150, 5, true).unwrap(), 305);
        assert_eq!(total(150, 5, false).unwrap_err().kind(), INVALID);
        assert_eq!(total(i64::MAX, 5, true).unwrap_err().kind(), INVALID);
        assert_eq!(total(i64::MAX / 2, 5, true).unwrap_err().kind(), INVALID);
        assert_eq!(total(-1, 1, true).unwrap_err().kind(), INTERNAL);
        let offers = HashMap::from([(a, offer(1, true)), (b, offer(2, true))]);
        let problem = wanted.priced(&offers, "USD".parse().unwrap()).unwrap_err();
        assert_eq!(problem.kind(), INTERNAL);
    }
}
