//! The HTTP API: what shoppers read here, what sellers write in [`selling`].

mod selling;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use contracts::{Currency, ProductId};
use kit::auth::{Caller, Role};
use kit::extract::{Path, Query, etag};
use kit::openapi;
use kit::outbox::Outbox;
use kit::page::{Page, PageQuery};
use kit::problem::{Body, MALFORMED, Problem, Result};
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::IntoParams;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cache::Cache;
use crate::db;
use crate::product::{Category, Filter, Position, Product, Sort};

/// Longest search, in characters.
const MAX_WORDS: usize = 200;

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) pool: PgPool,
    pub(crate) cache: Cache,
    pub(crate) outbox: Outbox,
    pub(crate) currency: Currency,
}

fn api() -> OpenApiRouter<Api> {
    let document = openapi::document("Catalog", "Products and categories of a shop.");
    OpenApiRouter::with_openapi(document)
        .routes(routes!(list, selling::create))
        .routes(routes!(show, selling::change, selling::remove))
        .routes(routes!(categories))
}

/// The document of the API.
pub(crate) fn document() -> OpenApi {
    api().into_openapi()
}

/// The routes of the API.
pub(crate) fn router(state: Api) -> Router {
    api().with_state(state).into()
}

/// Which products to list, how, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Words to search for, up to 200 characters; `"an exact phrase"`, `or` and `-without` work.
    q: Option<String>,
    /// Slug of a category; what is in its parts counts.
    category: Option<String>,
    /// Lowest price, in minor units.
    price_min: Option<i64>,
    /// Highest price, in minor units.
    price_max: Option<i64>,
    /// `relevance` by default where there is something to search for, otherwise `newest`.
    sort: Option<Sort>,
    /// `next_cursor` of the page before, with everything else unchanged.
    cursor: Option<String>,
    /// How many, 1 to 100; 20 by default.
    limit: Option<u32>,
    /// Number of the page, from 1, for people who type; `cursor` is faster and exact.
    page: Option<u32>,
}

impl ListQuery {
    fn filter(&mut self) -> Result<Filter> {
        let words = self.q.take().filter(|words| !words.trim().is_empty());
        if words.as_ref().is_some_and(|words| words.chars().count() > MAX_WORDS) {
            return Err(Problem::new(MALFORMED, format!("q has up to {MAX_WORDS} characters")));
        }
        Ok(Filter {
            words,
            category: self.category.take(),
            price_min: self.price_min,
            price_max: self.price_max,
        })
    }

    fn sort(&self, filter: &Filter) -> Sort {
        match (self.sort, &filter.words) {
            (Some(Sort::Relevance) | None, None) => Sort::Newest,
            (None, Some(_)) => Sort::Relevance,
            (Some(sort), _) => sort,
        }
    }
}

/// Lists and searches what is on sale.
#[utoipa::path(
    get, path = "/api/v1/products", tag = "products", params(ListQuery),
    responses(
        (status = 200, body = Page<Product>),
        (status = 400, body = Body, content_type = "application/problem+json"),
    ),
)]
async fn list(
    State(api): State<Api>,
    Query(mut query): Query<ListQuery>,
) -> Result<axum::Json<Page<Product>>> {
    let filter = query.filter()?;
    let sort = query.sort(&filter);
    let page = PageQuery { cursor: query.cursor, limit: query.limit, page: query.page };
    let window = page.window::<Position>()?;
    if window.after.as_ref().is_some_and(|after| after.sort != sort) {
        return Err(Problem::new(MALFORMED, "the cursor belongs to another sort"));
    }
    let found = db::search(&mut *api.pool.acquire().await?, &filter, sort, &window).await?;
    let Page { items, next_cursor } = window.page(found, |found| found.position(sort));
    let items = items.into_iter().map(|found| found.product).collect();
    Ok(axum::Json(Page { items, next_cursor }))
}

/// Shows a product. What is not on sale is shown to its seller and to administrators only.
#[utoipa::path(
    get, path = "/api/v1/products/{id}", tag = "products",
    params(("id" = ProductId, Path)),
    responses(
        (status = 200, body = Product, headers(("ETag" = String, description = "Its version"))),
        (status = 404, body = Body, content_type = "application/problem+json"),
    ),
    security((), ("bearer" = [])),
)]
async fn show(
    State(api): State<Api>,
    caller: Option<Caller>,
    Path(id): Path<ProductId>,
) -> Result<impl IntoResponse> {
    let found = api.cache.find(&api.pool, id).await.map_err(Problem::unavailable)?;
    let product = found
        .filter(|product| {
            product.on_sale || caller.is_some_and(|caller| may_write(&caller, product))
        })
        .ok_or_else(|| Problem::not_found("product"))?;
    Ok((etag(product.version), axum::Json(Product::clone(&product))))
}

/// Whether it is the caller's own product, or the caller runs the shop.
fn may_write(caller: &Caller, product: &Product) -> bool {
    let own = caller.has(Role::Seller) && product.seller_id == caller.user_id;
    own || caller.has(Role::Admin)
}

/// Lists every category.
#[utoipa::path(
    get, path = "/api/v1/categories", tag = "categories",
    responses((status = 200, body = Page<Category>)),
)]
async fn categories(State(api): State<Api>) -> Result<axum::Json<Page<Category>>> {
    let items = db::categories(&mut *api.pool.acquire().await?).await?;
    Ok(axum::Json(Page { items, next_cursor: None }))
}
