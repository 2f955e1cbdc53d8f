//! Kinds of a product that are in stock by themselves: what sellers do with those of their own
//! products, and administrators with all. A variant is a part of its product: whoever changes one has
//! read that version of the product, and gets the next.

use axum::extract::State;
use axum::response::IntoResponse;
use contracts::{Money, ProductId, Sku};
use http::StatusCode;
use kit::auth::Caller;
use kit::extract::{IfMatch, Json, Path, present};
use kit::problem::{Body, Problem, Result};
use serde::Deserialize;
use utoipa::ToSchema;

use super::selling::{SKU_TAKEN, store};
use super::{Api, shown};
use crate::product::{Attributes, Product};
use crate::variant::{MAX_VARIANTS, Variant};

/// A variant to be added to a product.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewVariant {
    /// Stock keeping unit; no other product or variant may have it, and it never changes.
    sku: Sku,
    /// What sets it apart, for people; 1 to 200 characters.
    #[schema(example = "red, large")]
    name: String,
    /// What sets it apart, for programs: up to 10 properties, of up to 200 characters each.
    #[serde(default)]
    attributes: Attributes,
    /// Price of one, in the shop's currency; more than zero.
    price: Money,
}

impl From<NewVariant> for Variant {
    fn from(NewVariant { sku, name, attributes, price }: NewVariant) -> Self {
        Self { sku, name, attributes, price }
    }
}

/// What to change of a variant; what is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VariantChange {
    /// 1 to 200 characters.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// All of its properties: those that are not named here are gone.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    attributes: Option<Attributes>,
    /// Price of one, in the shop's currency; more than zero.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    price: Option<Money>,
}

/// Adds a variant to a product, behind those that it has; up to 100.
#[utoipa::path(
    post, path = "/api/v1/products/{id}/variants", tag = "products", operation_id = "add_variant",
    params(("id" = ProductId, Path), IfMatch),
    request_body = NewVariant,
    responses(
        (status = 201, description = "The product", body = Product, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn add(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ProductId>,
    version: IfMatch,
    Json(body): Json<NewVariant>,
) -> Result<impl IntoResponse> {
    let variant = Variant::from(body);
    let product = store(&api, &caller, id, version, |product| {
        variant.check(api.currency)?;
        if product.has(&variant.sku) {
            return Err(Problem::new(SKU_TAKEN, "the product or a variant of it has this SKU"));
        }
        if product.variants.len() >= MAX_VARIANTS {
            let detail = format!("a product has at most {MAX_VARIANTS} variants");
            return Err(Problem::invalid_field("", detail));
        }
        let mut changed = product.clone();
        changed.variants.push(variant);
        Ok(changed)
    });
    Ok((StatusCode::CREATED, shown(product.await?)))
}

/// Changes a variant.
#[utoipa::path(
    patch, path = "/api/v1/products/{id}/variants/{sku}", tag = "products", operation_id = "change_variant",
    params(("id" = ProductId, Path), ("sku" = Sku, Path), IfMatch),
    request_body = VariantChange,
    responses(
        (status = 200, description = "The product", body = Product, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path((id, sku)): Path<(ProductId, Sku)>,
    version: IfMatch,
    Json(body): Json<VariantChange>,
) -> Result<impl IntoResponse> {
    let product = store(&api, &caller, id, version, |product| {
        let mut changed = product.clone();
        let variant = changed.variants.iter_mut().find(|variant| variant.sku == sku);
        let variant = variant.ok_or_else(|| Problem::not_found("variant"))?;
        variant.name = body.name.unwrap_or_else(|| variant.name.clone());
        variant.attributes = body.attributes.unwrap_or_else(|| variant.attributes.clone());
        variant.price = body.price.unwrap_or(variant.price);
        variant.check(api.currency)?;
        Ok(changed)
    });
    Ok(shown(product.await?))
}

/// Takes a variant off a product. Its SKU stays the product's: nobody else can have it.
#[utoipa::path(
    delete, path = "/api/v1/products/{id}/variants/{sku}", tag = "products", operation_id = "remove_variant",
    params(("id" = ProductId, Path), ("sku" = Sku, Path), IfMatch),
    responses(
        (status = 200, description = "The product", body = Product, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path((id, sku)): Path<(ProductId, Sku)>,
    version: IfMatch,
) -> Result<impl IntoResponse> {
    let product = store(&api, &caller, id, version, |product| {
        let mut changed = product.clone();
        changed.variants.retain(|variant| variant.sku != sku);
        if changed == *product {
            return Err(Problem::not_found("variant"));
        }
        Ok(changed)
    });
    Ok(shown(product.await?))
}
