//! The demo's products.

use std::collections::HashSet;

use chrono::Utc;
use contracts::{Currency, Money, demo};
use kit::StartError;
use kit::outbox::Outbox;
use sqlx::PgPool;

use crate::db;
use crate::product::{Attributes, Product};
use crate::variant::Variant;

/// Stores those of the demo's categories and products that are not there. A running service sends
/// the events.
pub(crate) async fn demo(pool: &PgPool, currency: Currency) -> Result<(), StartError> {
    let outbox = Outbox::default();
    let mut tx = pool.begin().await?;
    for (slug, name) in demo::categories() {
        db::insert_category(&mut tx, slug, name, None).await?;
    }
    // Inventory fills its shelves from the same table, without telling.
    let stocked: HashSet<String> = demo::stock().map(|stock| stock.sku).collect();
    for product in demo::products() {
        if let Some(stored) = db::insert(&mut tx, &of(product, currency)?).await? {
            outbox.append(&mut tx, &stored.created()).await?;
            let variants = stored.variants.iter().map(|variant| &variant.sku);
            let skus = std::iter::once(&stored.sku).chain(variants);
            for sku in skus.filter(|sku| stocked.contains(sku.as_str())) {
                db::set_stocked(&mut tx, stored.id, sku, true).await?;
            }
        }
    }
    tx.commit().await?;
    Ok(())
}

fn of(demo: demo::DemoProduct, currency: Currency) -> Result<Product, StartError> {
    let now = Utc::now();
    let variant = |demo: &demo::DemoVariant| -> Result<Variant, StartError> {
        Ok(Variant {
            sku: demo.sku.parse()?,
            name: demo.name.to_owned(),
            attributes: Attributes::new(),
            price: Money::new(demo.price, currency),
        })
    };
    Ok(Product {
        id: demo.id,
        sku: demo.sku.parse()?,
        name: demo.name,
        description: demo.description,
        price: Money::new(demo.price, currency),
        attributes: Attributes::new(),
        category: demo.category.to_owned(),
        seller_id: demo::seller_id(),
        on_sale: true,
        variants: demo.variants.iter().map(variant).collect::<Result<_, _>>()?,
        deletion: None,
        images: Vec::new(),
        version: 1,
        created_at: now,
        updated_at: now,
    })
}
