//! The demo's products.

use chrono::Utc;
use contracts::{Currency, Money, demo};
use kit::StartError;
use kit::outbox::Outbox;
use sqlx::PgPool;

use crate::db;
use crate::product::{Attributes, Product};

/// Stores those of the demo's categories and products that are not there. A running service sends
/// the events.
pub(crate) async fn demo(pool: &PgPool, currency: Currency) -> Result<(), StartError> {
    let outbox = Outbox::default();
    let mut tx = pool.begin().await?;
    for (slug, name) in demo::categories() {
        db::insert_category(&mut tx, slug, name, None).await?;
    }
    for product in demo::products() {
        if let Some(stored) = db::insert(&mut tx, &of(product, currency)?).await? {
            outbox.append(&mut tx, &stored.created()).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

fn of(demo: demo::DemoProduct, currency: Currency) -> Result<Product, StartError> {
    let now = Utc::now();
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
        images: Vec::new(),
        version: 1,
        created_at: now,
        updated_at: now,
    })
}
