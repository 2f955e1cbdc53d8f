//! From what a shopper wants to what an order says. No I/O.

use std::collections::HashMap;

use contracts::events::OrderLine;
use contracts::limits::{MAX_LINES, MAX_QUANTITY};
use contracts::{Currency, Money, MoneyError, ProductId, Sku};
use kit::problem::{Fields, Problem, Result};
use serde::{Deserialize, Serialize};

/// Something that a shopper wants. It has no price: that is the catalog's to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The product.
    pub product_id: ProductId,
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
}

/// Items with each product once, and the place where each was asked for first.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted(Vec<(usize, Item)>);

impl Wanted {
    /// Checks quantities and adds up those of the same product.
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
            let seen = wanted.iter_mut().find(|(_, seen)| seen.product_id == item.product_id);
            let sum = seen.as_ref().map_or(0, |(_, seen)| seen.quantity);
            let sum = sum.saturating_add(item.quantity);
            fields.check(
                item.quantity >= 1 && sum <= MAX_QUANTITY,
                format!("/items/{index}/quantity"),
                format!("must be from 1 to {MAX_QUANTITY}, all lines of a product together"),
            );
            match seen {
                Some((_, seen)) => seen.quantity = sum,
                None => wanted.push((index, item.clone())),
            }
        }
        fields.finish().map(|()| Self(wanted))
    }

    /// The products, each once.
    pub fn products(&self) -> impl Iterator<Item = ProductId> {
        self.0.iter().map(|(_, item)| item.product_id)
    }

    /// Order lines at the prices of now, and their sum.
    pub fn priced(
        &self,
        offers: &HashMap<ProductId, Offer>,
        currency: Currency,
    ) -> Result<(Vec<OrderLine>, Money)> {
        let mut fields = Fields::default();
        let mut lines = Vec::with_capacity(self.0.len());
        for (index, item) in &self.0 {
            match offers.get(&item.product_id).filter(|offer| offer.on_sale) {
                Some(offer) => lines.push(OrderLine {
                    product_id: item.product_id,
                    sku: offer.sku.clone(),
                    name: offer.name.clone(),
                    quantity: item.quantity,
                    unit_price: offer.price,
                }),
                None => fields.check(
                    false,
                    format!("/items/{index}/product_id"),
                    format!("{} is not on sale", item.product_id),
                ),
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
        Item { product_id, quantity }
    }

    fn offer(amount: i64, on_sale: bool) -> Offer {
        let price = Money::new(amount, Currency::EUR);
        Offer { sku: "A-1".parse().unwrap(), name: "A".to_owned(), price, on_sale }
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
        let offers = HashMap::from([(a, offer(1, true)), (b, offer(1, true))]);
        let problem = wanted.priced(&offers, "USD".parse().unwrap()).unwrap_err();
        assert_eq!(problem.kind(), INTERNAL);
    }
}
