//! What the catalog keeps in Postgres.

mod categories;
mod deletions;
mod facets;
mod images;
mod search;
mod told;

pub use categories::{
    categories, category, delete_category, insert_category, is_within, lock_categories,
    update_category,
};
pub use deletions::{
    begin_deletion, delete, deletion_answered, deletion_request, lock_overdue, skus_of,
    withdraw_deletion,
};
pub use facets::facets;
pub use images::{
    Discarded, claim_upload, delete_image, forget_discarded, images, insert_image, lock_discarded,
    next_version, note_upload, place_images, update_alt,
};
pub use search::{reindex, respell, search, set_search_language};
pub use told::{rate, set_stocked};

use chrono::{DateTime, Utc};
use contracts::{Money, ProductId, UserId};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::deletion::Deletion;
use crate::image::{Image, Stored};
use crate::product::{Attributes, Found, Product};
use crate::variant::Variant;

struct Row {
    id: Uuid,
    sku: String,
    name: String,
    description: String,
    price: i64,
    currency: String,
    attributes: Json<Attributes>,
    category: String,
    seller_id: UserId,
    on_sale: bool,
    variants: Json<Vec<Variant>>,
    deletion: Option<Json<Deletion>>,
    images: Json<Vec<Stored>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    rating: f32,
    rank: f32,
}

impl TryFrom<Row> for Found {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
        let currency = row.currency.parse().map_err(|error| decode(Box::new(error)))?;
        let product = Product {
            id: row.id.into(),
            sku: row.sku.parse().map_err(|error| decode(Box::new(error)))?,
            name: row.name,
            description: row.description,
            price: Money::new(row.price, currency),
            attributes: row.attributes.0,
            category: row.category,
            seller_id: row.seller_id,
            on_sale: row.on_sale,
            variants: row.variants.0,
            deletion: row.deletion.map(|deletion| deletion.0),
            images: row.images.0.into_iter().map(Image::from).collect(),
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(Self { product, rating: row.rating, rank: row.rank })
    }
}

fn product(row: Row) -> Result<Product, sqlx::Error> {
    Found::try_from(row).map(|found| found.product)
}

/// `SELECT` of whole products with this ending.
macro_rules! select {
    ($ending:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            r#"SELECT id, sku, name, description, price, currency,
                      attributes AS "attributes: Json<Attributes>", category, seller_id,
                      on_sale, variants AS "variants: Json<Vec<Variant>>",
                      (SELECT jsonb_build_object(
                           'state', state, 'reason', reason, 'reserved', reserved)
                       FROM deletions WHERE product_id = id) AS "deletion: Json<Deletion>",
                      images_of(id) AS "images!: Json<Vec<Stored>>",
                      version, created_at, updated_at, rating, 0::real AS "rank!"
               FROM products "# + $ending
            $(, $argument)*
        )
    };
}

/// The product, on sale or not.
pub async fn find(
    connection: &mut PgConnection,
    id: ProductId,
) -> Result<Option<Product>, sqlx::Error> {
    let row = select!("WHERE id = $1", id.uuid()).fetch_optional(connection).await?;
    row.map(product).transpose()
}

/// The product, kept from changing until the transaction ends.
pub async fn lock(
    connection: &mut PgConnection,
    id: ProductId,
) -> Result<Option<Product>, sqlx::Error> {
    let row = select!("WHERE id = $1 FOR UPDATE", id.uuid()).fetch_optional(connection).await?;
    row.map(product).transpose()
}

/// Those of the products that exist, on sale or not.
pub async fn find_all(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Product>, sqlx::Error> {
    let rows = select!("WHERE id = ANY($1)", ids).fetch_all(connection).await?;
    rows.into_iter().map(product).collect()
}

fn skus(product: &Product) -> Vec<String> {
    let variants = product.variants.iter().map(|variant| &variant.sku);
    std::iter::once(&product.sku).chain(variants).map(ToString::to_string).collect()
}

/// Stores a new product and returns it as stored. Does nothing when its id is there, or one of its SKUs.
/// Fails by the constraint `skus_pkey` when somebody takes one of them at the same time.
pub async fn insert(
    connection: &mut PgConnection,
    product: &Product,
) -> Result<Option<Product>, sqlx::Error> {
    let stored = sqlx::query!(
        "INSERT INTO products
             (id, sku, name, description, price, currency, attributes, category, seller_id, on_sale,
              variants, in_stock)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
                EXISTS (SELECT FROM stocked WHERE sku = ANY($12))
         WHERE NOT EXISTS (SELECT FROM skus WHERE sku = ANY($12))
         ON CONFLICT DO NOTHING
         RETURNING version, created_at, updated_at",
        product.id.uuid(),
        product.sku.as_str(),
        product.name,
        product.description,
        product.price.amount,
        product.price.currency.as_str(),
        Json(&product.attributes) as _,
        product.category,
        product.seller_id.uuid(),
        product.on_sale,
        Json(&product.variants) as _,
        &skus(product),
    )
    .fetch_optional(connection)
    .await?;
    Ok(stored.map(|stored| Product {
        version: stored.version,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        ..product.clone()
    }))
}

/// Stores a product that has changed and returns it as stored. Fails by the constraint `skus_pkey` when
/// a SKU of a variant is another product's.
pub async fn update(
    connection: &mut PgConnection,
    product: Product,
) -> Result<Product, sqlx::Error> {
    let stored = sqlx::query!(
        "UPDATE products
         SET name = $2, description = $3, price = $4, currency = $5, attributes = $6,
             category = $7, on_sale = $8, variants = $9,
             in_stock = EXISTS (SELECT FROM stocked WHERE stocked.sku = ANY($10)),
             version = version + 1, updated_at = now()
         WHERE id = $1
         RETURNING version, updated_at",
        product.id.uuid(),
        product.name,
        product.description,
        product.price.amount,
        product.price.currency.as_str(),
        Json(&product.attributes) as _,
        product.category,
        product.on_sale,
        Json(&product.variants) as _,
        &skus(&product),
    )
    .fetch_one(connection)
    .await?;
    Ok(Product { version: stored.version, updated_at: stored.updated_at, ..product })
}
