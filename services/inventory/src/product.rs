//! Whose a SKU is, and what becomes of it when its product is deleted. Rules only: no I/O, no await.

use contracts::events::{ProductCreated, ProductUpdated, ProductVariant};
use contracts::{ProductId, Sku};

/// What counts of a row of stock here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Stock keeping unit.
    pub sku: String,
    /// Whose it is.
    pub owner: Option<ProductId>,
    /// Units that are held for orders.
    pub reserved: i64,
    /// Whether nobody can buy it, because its product is to be deleted.
    pub retired: bool,
}

/// A product of the catalog, as far as stock is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// Everything that is in stock as this product: its own SKU and those of its variants.
    pub skus: Vec<Sku>,
}

impl Product {
    fn of(id: ProductId, sku: &Sku, variants: &[ProductVariant]) -> Self {
        let variants = variants.iter().map(|variant| variant.sku.clone());
        Self { id, skus: std::iter::once(sku.clone()).chain(variants).collect() }
    }
}

impl From<&ProductCreated> for Product {
    fn from(event: &ProductCreated) -> Self {
        Self::of(event.product_id, &event.sku, &event.variants)
    }
}

impl From<&ProductUpdated> for Product {
    fn from(event: &ProductUpdated) -> Self {
        Self::of(event.product_id, &event.sku, &event.variants)
    }
}

/// Which rows of stock change hands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// They become the product's.
    pub taken: Vec<String>,
    /// They become nobody's: they were the product's, which has no such variant any more.
    pub left: Vec<String>,
}

/// The SKU is another product's, which lives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the SKU {sku} belongs to the product {owner}")]
pub struct Owned {
    sku: String,
    owner: ProductId,
}

/// What changes hands when a product has these SKUs. Whoever has retired a SKU is as good as gone, and
/// leaves it to the next; nobody else loses one.
pub fn hand_over(product: &Product, rows: &[Row]) -> Result<Handover, Owned> {
    let mut handover = Handover::default();
    for row in rows {
        let named = product.skus.iter().any(|sku| sku.as_str() == row.sku);
        match row.owner {
            Some(owner) if owner == product.id && named => {}
            Some(owner) if owner == product.id => handover.left.push(row.sku.clone()),
            Some(owner) if !row.retired => return Err(Owned { sku: row.sku.clone(), owner }),
            Some(_) | None => handover.taken.push(row.sku.clone()),
        }
    }
    Ok(handover)
}

/// What becomes of the stock of a product that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// So many units are held for orders.
    InUse(i64),
    /// Nothing is held. These SKUs are nobody's so far and become the product's, so that nobody can buy
    /// what comes in later either.
    Retire(Vec<String>),
}

/// Whether a product's stock may be retired. What another product has is left alone.
pub fn delete(product: ProductId, rows: &[Row]) -> Deletion {
    let ours = rows.iter().filter(|row| row.owner.is_none_or(|owner| owner == product));
    let (mut reserved, mut nobodys) = (0_i64, Vec::new());
    for row in ours {
        reserved = reserved.saturating_add(row.reserved);
        if row.owner.is_none() {
            nobodys.push(row.sku.clone());
        }
    }
    if reserved > 0 { Deletion::InUse(reserved) } else { Deletion::Retire(nobodys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(sku: &str, owner: Option<ProductId>, reserved: i64, retired: bool) -> Row {
        Row { sku: sku.to_owned(), owner, reserved, retired }
    }

    fn product(skus: &[&str]) -> Product {
        let skus = skus.iter().map(|sku| sku.parse().unwrap()).collect();
        Product { id: ProductId::new(), skus }
    }

    #[test]
    fn a_product_takes_what_is_nobodys_and_leaves_what_it_no_longer_has() {
        let (product, gone) = (product(&["A", "B", "C"]), ProductId::new());
        let rows = [
            row("A", Some(product.id), 1, true),
            row("B", None, 0, false),
            row("C", Some(gone), 0, true),
            row("D", Some(product.id), 0, false),
        ];
        let expected =
            Handover { taken: vec!["B".to_owned(), "C".to_owned()], left: vec!["D".to_owned()] };
        assert_eq!(hand_over(&product, &rows), Ok(expected));
    }

    #[test]
    fn a_product_loses_no_sku_to_another() {
        let (product, owner) = (product(&["A"]), ProductId::new());
        let refused = Err(Owned { sku: "A".to_owned(), owner });
        assert_eq!(hand_over(&product, &[row("A", Some(owner), 0, false)]), refused);
    }

    #[test]
    fn a_product_is_deleted_when_nothing_of_it_is_held() {
        let (product, other) = (ProductId::new(), ProductId::new());
        let held = [row("A", Some(product), 2, false), row("B", None, 1, false)];
        assert_eq!(delete(product, &held), Deletion::InUse(3));
        let free = [
            row("A", Some(product), 0, true),
            row("B", None, 0, false),
            row("C", Some(other), 5, false),
        ];
        assert_eq!(delete(product, &free), Deletion::Retire(vec!["B".to_owned()]));
        assert_eq!(delete(product, &[]), Deletion::Retire(Vec::new()));
    }
}
