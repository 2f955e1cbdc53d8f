//! What sellers do with their own products, and administrators with all.

use std::sync::LazyLock;

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::Utc;
use contracts::{Money, ProductId, Sku};
use http::{HeaderValue, StatusCode, header};
use kit::auth::{Caller, Role};
use kit::extract::{IfMatch, Json, Path, present};
use kit::problem::{Body, CONFLICT, Kind, Problem, Result, STALE};
use kit::{metric, postgres};
use prometheus::IntCounter;
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::variants::NewVariant;
use super::{Api, lasting, shown, writable};
use crate::db;
use crate::product::{Attributes, Product};
use crate::variant::Variant;

/// Another product has the SKU, or has had it.
pub(crate) const SKU_TAKEN: Kind = Kind::new(409, "sku-taken", "Another product has this SKU");

static CREATED: LazyLock<IntCounter> =
    metric!(counter, "products_created_total", "Products that sellers have put into the catalog.");

/// A product to be put into the catalog.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProduct {
    /// Stock keeping unit; no other product may have it, and it never changes.
    sku: Sku,
    /// 1 to 200 characters.
    name: String,
    /// Up to 5000 characters.
    #[serde(default)]
    description: String,
    /// Price of one, in the shop's currency; more than zero.
    price: Money,
    /// Up to 50 further properties, of up to 200 characters each.
    #[serde(default)]
    attributes: Attributes,
    /// Slug of a category.
    category: String,
    /// Whether it can be bought at once; so it is by default.
    #[serde(default = "yes")]
    on_sale: bool,
    /// Up to 100 kinds of it that are in stock by themselves.
    #[serde(default)]
    variants: Vec<NewVariant>,
}

fn yes() -> bool {
    true
}

impl NewProduct {
    fn of(self, seller: &Caller) -> Product {
        let now = Utc::now();
        Product {
            id: ProductId::new(),
            sku: self.sku,
            name: self.name,
            description: self.description,
            price: self.price,
            attributes: self.attributes,
            category: self.category,
            seller_id: seller.user_id,
            on_sale: self.on_sale,
            variants: self.variants.into_iter().map(Variant::from).collect(),
            deletion: None,
            images: Vec::new(),
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// What to change of a product; what is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Change {
    /// 1 to 200 characters.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// Up to 5000 characters.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    description: Option<String>,
    /// Price of one, in the shop's currency; more than zero.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    price: Option<Money>,
    /// All further properties: those that are not named here are gone.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    attributes: Option<Attributes>,
    /// Slug of a category.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    category: Option<String>,
    /// Whether it can be bought.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    on_sale: Option<bool>,
}

impl Change {
    fn of(self, product: &Product) -> Product {
        let product = product.clone();
        Product {
            name: self.name.unwrap_or(product.name),
            description: self.description.unwrap_or(product.description),
            price: self.price.unwrap_or(product.price),
            attributes: self.attributes.unwrap_or(product.attributes),
            category: self.category.unwrap_or(product.category),
            on_sale: self.on_sale.unwrap_or(product.on_sale),
            ..product
        }
    }
}

/// Puts a product into the catalog; it belongs to the caller.
#[utoipa::path(
    post, path = "/api/v1/products", tag = "products", request_body = NewProduct,
    responses(
        (status = 201, body = Product, headers(("ETag" = String, description = "Its version"), ("Location" = String))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<NewProduct>,
) -> Result<impl IntoResponse> {
    caller.require(Role::Seller)?;
    let product = body.of(&caller);
    product.check(api.currency)?;
    let mut tx = api.pool.begin().await?;
    let stored = db::insert(&mut tx, &product).await.map_err(refused)?;
    let product = stored.ok_or_else(|| {
        Problem::new(SKU_TAKEN, "choose other SKUs for this product and its variants")
    })?;
    api.outbox.append(&mut tx, &product.created()).await?;
    tx.commit().await?;
    CREATED.inc();
    let location = format!("/api/v1/products/{}", product.id);
    let location = HeaderValue::try_from(location).map_err(Problem::internal)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], shown(product)))
}

/// Changes a product.
#[utoipa::path(
    patch, path = "/api/v1/products/{id}", tag = "products",
    params(("id" = ProductId, Path), IfMatch),
    request_body = Change,
    responses(
        (status = 200, body = Product, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ProductId>,
    version: IfMatch,
    Json(body): Json<Change>,
) -> Result<impl IntoResponse> {
    store(&api, &caller, id, version, |product| Ok(body.of(product))).await.map(shown)
}

/// Deletes a product for good, as soon as the stock agrees. Until then nobody can buy, see or change it
/// but its seller, who reads in `deletion` what has become of it: some of it is held for an order, or the
/// stock has not answered for five minutes, and it is what it was before. Whoever wants it back another
/// day takes it off sale instead (`on_sale`). Its SKUs are not free afterwards.
#[utoipa::path(
    delete, path = "/api/v1/products/{id}", tag = "products",
    params(("id" = ProductId, Path), IfMatch),
    responses(
        (status = 202, body = Product, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ProductId>,
    version: IfMatch,
) -> Result<impl IntoResponse> {
    let mut tx = api.pool.begin().await?;
    let product = current(&mut tx, &caller, id, version).await?;
    let product = if product.is_being_deleted() {
        product
    } else {
        let begun = api.deleting.begin(&mut tx, product).await?;
        let waits = "the stock has not answered the request before";
        begun.ok_or_else(|| Problem::new(CONFLICT, waits))?
    };
    tx.commit().await?;
    api.cache.committed(id);
    Ok((StatusCode::ACCEPTED, shown(product)))
}

/// The product as the caller has read it, kept from changing until the transaction ends.
pub(super) async fn current(
    tx: &mut PgConnection,
    caller: &Caller,
    id: ProductId,
    IfMatch(version): IfMatch,
) -> Result<Product> {
    let current = writable(caller, db::lock(tx, id).await?)?;
    if version != current.version {
        return Err(Problem::new(STALE, "read the product again"));
    }
    Ok(current)
}

/// Stores what a change makes of a product, tells the others, and returns it as stored.
pub(super) async fn store(
    api: &Api,
    caller: &Caller,
    id: ProductId,
    version: IfMatch,
    change: impl FnOnce(&Product) -> Result<Product>,
) -> Result<Product> {
    let mut tx = api.pool.begin().await?;
    let current = lasting(current(&mut tx, caller, id, version).await?)?;
    let changed = change(&current)?;
    if changed == current {
        return Ok(current);
    }
    changed.check(api.currency)?;
    let stored = db::update(&mut tx, changed).await.map_err(refused)?;
    api.outbox.append(&mut tx, &stored.updated()).await?;
    api.cache.invalidate(id, stored.version).await;
    tx.commit().await?;
    api.cache.committed(id);
    Ok(stored)
}

fn refused(error: sqlx::Error) -> Problem {
    match postgres::violated(&error) {
        Some("products_category_fkey") => {
            Problem::invalid_field("/category", "there is no such category")
        }
        Some("skus_pkey") => Problem::new(SKU_TAKEN, "choose another SKU"),
        _ => error.into(),
    }
}
