//! The HTTP API: what shoppers look for in [`finding`], what sellers write in [`selling`] and
//! [`variants`], the [`images`] of products, and the tree of [`categories`].

mod categories;
mod files;
mod finding;
mod images;
mod selling;
mod variants;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use contracts::{Currency, ProductId};
use kit::auth::Caller;
use kit::extract::{Path, etag};
use kit::openapi;
use kit::outbox::Outbox;
use kit::problem::{CONFLICT, FORBIDDEN, Problem, Result};
use sqlx::PgPool;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cache::Cache;
use crate::deleting::Deleting;
use crate::gallery::Gallery;
use crate::product::Product;
use crate::searches::Searches;

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) pool: PgPool,
    pub(crate) searches: Searches,
    pub(crate) cache: Cache,
    pub(crate) outbox: Outbox,
    pub(crate) deleting: Deleting,
    pub(crate) gallery: Gallery,
    pub(crate) currency: Currency,
}

fn api() -> OpenApiRouter<Api> {
    let document = openapi::document("Catalog", "Products and categories of a shop.");
    OpenApiRouter::with_openapi(document)
        .routes(routes!(finding::list, selling::create))
        .routes(routes!(finding::facets))
        .routes(routes!(show, selling::change, selling::remove))
        .routes(routes!(variants::add))
        .routes(routes!(variants::change, variants::remove))
        .routes(routes!(images::list, images::add))
        .routes(routes!(images::change, images::remove))
        .routes(routes!(files::show))
        .routes(routes!(categories::list, categories::create))
        .routes(routes!(categories::show, categories::change, categories::remove))
}

/// The document of the API.
pub(crate) fn document() -> OpenApi {
    api().into_openapi()
}

/// The routes of the API.
pub(crate) fn router(state: Api) -> Router {
    api().with_state(state).into()
}

/// Shows a product. What is not on sale is shown to its seller and to administrators only.
#[utoipa::path(
    get, path = "/api/v1/products/{id}", tag = "products",
    params(("id" = ProductId, Path)),
    responses(
        (status = 200, body = Product, headers(("ETag" = String, description = "Its version"))),
    ),
    security((), ("bearer" = [])),
)]
async fn show(
    State(api): State<Api>,
    caller: Option<Caller>,
    Path(id): Path<ProductId>,
) -> Result<impl IntoResponse> {
    visible(&api, caller.as_ref(), id).await.map(shown)
}

/// A product, with its version for whoever wants to change it.
fn shown(product: Product) -> impl IntoResponse {
    (etag(product.version), axum::Json(product))
}

/// A product as the caller may see it.
async fn visible(api: &Api, caller: Option<&Caller>, id: ProductId) -> Result<Product> {
    let found = api.cache.find(&api.pool, id).await.map_err(Problem::unavailable)?;
    let seen = found.and_then(|product| product.seen_by(caller));
    seen.ok_or_else(|| Problem::not_found("product"))
}

/// A product that the caller writes.
fn writable(caller: &Caller, product: Option<Product>) -> Result<Product> {
    let product = product.ok_or_else(|| Problem::not_found("product"))?;
    if product.may_be_written_by(caller) {
        return Ok(product);
    }
    Err(Problem::new(FORBIDDEN, "the product belongs to another seller"))
}

/// A product that is not about to go: its seller has said so, and waits.
fn lasting(product: Product) -> Result<Product> {
    if product.is_being_deleted() {
        return Err(Problem::new(CONFLICT, "the product is being deleted"));
    }
    Ok(product)
}
