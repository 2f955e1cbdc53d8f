//! The demo shop: 120 products in 12 categories. Catalog and inventory fill their databases from
//! this one table, each on its own, and agree because ids are derived from SKUs.

use uuid::Uuid;

use crate::id::{ProductId, UserId};

/// Namespace of the demo's name-based ids (version 5, RFC 9562).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_5c1e_2a5b_4c67_9e0a_5d0c_3a52_77b1);

/// What a category offers: a slug, its name, a price of the cheapest thing in minor units, and the
/// things.
struct Category {
    slug: &'static str,
    name: &'static str,
    code: &'static str,
    price: i64,
    things: [&'static str; 5],
}

/// Each thing comes in these two makes; the factor is in percent of the base price.
const MAKES: [(&str, &str, i64); 2] = [("Classic", "C", 100), ("Studio", "S", 175)];

/// A kind of a thing: the end of its SKU, a name, a price in percent of the product's, and units in stock
/// at the beginning.
type Kind = (&'static str, &'static str, i64, i64);

/// What some things come in.
const VARIANTS: [(&str, [Kind; 2]); 3] = [
    ("Tote", [("BLK", "black", 100, 25), ("NAT", "natural", 90, 40)]),
    ("Linen Towel", [("HAND", "hand towel", 60, 50), ("BATH", "bath towel", 140, 0)]),
    ("Yoga Mat", [("LONG", "long", 120, 15), ("KIDS", "for children", 75, 30)]),
];

const CATEGORIES: [Category; 12] = [
    category(
        "mugs",
        "Mugs",
        "MUG",
        990,
        ["Red Mug", "Blue Mug", "Espresso Cup", "Travel Mug", "Tea Bowl"],
    ),
    category(
        "books",
        "Books",
        "BOOK",
        1490,
        ["Field Guide", "Cookbook", "Atlas", "Novel", "Poetry Reader"],
    ),
    category(
        "lamps",
        "Lamps",
        "LAMP",
        3990,
        ["Desk Lamp", "Floor Lamp", "Night Light", "Pendant", "Lantern"],
    ),
    category(
        "chairs",
        "Chairs",
        "CHAIR",
        7900,
        ["Oak Chair", "Stool", "Armchair", "Rocking Chair", "Bench"],
    ),
    category("bags", "Bags", "BAG", 2490, ["Tote", "Backpack", "Messenger Bag", "Pouch", "Duffel"]),
    category(
        "pens",
        "Pens",
        "PEN",
        390,
        ["Fountain Pen", "Ballpoint", "Pencil Set", "Marker", "Brush Pen"],
    ),
    category(
        "garden",
        "Garden",
        "GRDN",
        1290,
        ["Trowel", "Watering Can", "Seed Box", "Pruner", "Planter"],
    ),
    category(
        "kitchen",
        "Kitchen",
        "KTCH",
        1890,
        ["Chef Knife", "Skillet", "Cutting Board", "Kettle", "Scale"],
    ),
    category(
        "audio",
        "Audio",
        "AUD",
        4990,
        ["Headphones", "Speaker", "Turntable", "Radio", "Microphone"],
    ),
    category(
        "toys",
        "Toys",
        "TOY",
        1190,
        ["Building Blocks", "Puzzle", "Kite", "Wooden Train", "Yo-Yo"],
    ),
    category(
        "sports",
        "Sports",
        "SPRT",
        1690,
        ["Yoga Mat", "Football", "Racket", "Jump Rope", "Water Bottle"],
    ),
    category(
        "textiles",
        "Textiles",
        "TEX",
        1990,
        ["Wool Blanket", "Cushion", "Linen Towel", "Curtain", "Rug"],
    ),
];

const fn category(
    slug: &'static str,
    name: &'static str,
    code: &'static str,
    price: i64,
    things: [&'static str; 5],
) -> Category {
    Category { slug, name, code, price, things }
}

/// A product of the demo shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoProduct {
    /// Derived from the SKU.
    pub id: ProductId,
    /// Stock keeping unit.
    pub sku: String,
    /// Name.
    pub name: String,
    /// A sentence or two.
    pub description: String,
    /// Slug of its category.
    pub category: &'static str,
    /// Price in minor units of the shop's currency.
    pub price: i64,
    /// Units in stock at the beginning.
    pub stock: i64,
    /// Kinds of it that are in stock by themselves.
    pub variants: Vec<DemoVariant>,
}

/// A variant of a product of the demo shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoVariant {
    /// Stock keeping unit.
    pub sku: String,
    /// What sets it apart.
    pub name: &'static str,
    /// Price in minor units of the shop's currency.
    pub price: i64,
    /// Units in stock at the beginning.
    pub stock: i64,
}

/// What is on the shelves of the demo shop at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoStock {
    /// Stock keeping unit of a product or of a variant.
    pub sku: String,
    /// Units of it.
    pub stock: i64,
}

/// The stock of every product and variant of which there is any.
pub fn stock() -> impl Iterator<Item = DemoStock> {
    let all = products().into_iter().flat_map(|product| {
        let variants = product.variants.into_iter().map(|variant| (variant.sku, variant.stock));
        std::iter::once((product.sku, product.stock)).chain(variants)
    });
    all.filter(|(_, stock)| *stock > 0).map(|(sku, stock)| DemoStock { sku, stock })
}

/// Slug and name of every category.
pub fn categories() -> impl Iterator<Item = (&'static str, &'static str)> {
    CATEGORIES.iter().map(|category| (category.slug, category.name))
}

/// The account that sells the demo's products.
pub fn seller_id() -> UserId {
    Uuid::new_v5(&NAMESPACE, b"seller").into()
}

/// Every product.
pub fn products() -> Vec<DemoProduct> {
    let mut products = Vec::with_capacity(CATEGORIES.len() * 10);
    for category in &CATEGORIES {
        for (index, thing) in (1_i64..).zip(category.things) {
            for (make, letter, percent) in MAKES {
                let sku = format!("{}-{index:02}-{letter}", category.code);
                let price = category.price * percent / 100 * (10 + index) / 10;
                products.push(DemoProduct {
                    id: Uuid::new_v5(&NAMESPACE, sku.as_bytes()).into(),
                    name: format!("{make} {thing}"),
                    description: format!(
                        "{thing} of our {} line, from the {} shelf.",
                        make.to_lowercase(),
                        category.name.to_lowercase(),
                    ),
                    category: category.slug,
                    price,
                    stock: 40 + 20 * index,
                    variants: variants(thing, &sku, price),
                    sku,
                });
            }
        }
    }
    products
}

fn variants(thing: &str, sku: &str, price: i64) -> Vec<DemoVariant> {
    let kinds = VARIANTS.iter().filter(|(of, _)| *of == thing).flat_map(|(_, kinds)| kinds);
    let variant = |(code, name, percent, stock): &Kind| DemoVariant {
        sku: format!("{sku}-{code}"),
        name,
        price: price * percent / 100,
        stock: *stock,
    };
    kinds.map(variant).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::sku::Sku;

    #[test]
    fn at_least_a_hundred_distinct_sellable_products() {
        let products = products();
        assert!(products.len() >= 100);
        let ids: HashSet<_> = products.iter().map(|p| p.id).collect();
        assert_eq!(ids.len(), products.len());
        let variants: Vec<_> = products.iter().flat_map(|product| &product.variants).collect();
        assert_eq!(variants.len(), VARIANTS.len() * MAKES.len() * 2, "every thing is found");
        assert!(variants.iter().all(|v| v.price > 0 && v.sku.parse::<Sku>().is_ok()));
        let skus: HashSet<_> = stock().map(|stock| stock.sku).collect();
        let sold_out = variants.iter().filter(|variant| variant.stock == 0).count();
        assert_eq!(skus.len(), products.len() + variants.len() - sold_out, "each its own");
        for product in products {
            assert!(product.sku.parse::<Sku>().is_ok(), "{}", product.sku);
            assert!(product.price > 0 && product.stock > 0);
            assert!(categories().any(|(slug, _)| slug == product.category));
        }
    }
}
