//! The HTTP API: what everybody reads here, what shoppers write in [`writing`], what sellers answer in
//! [`answering`], what becomes of a bad review in [`moderation`].

mod answering;
mod moderation;
mod writing;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use contracts::proto::catalog::GetProductsRequest;
use contracts::proto::catalog::catalog_client::CatalogClient;
use contracts::proto::order::orders_client::OrdersClient;
use contracts::{ProductId, ReviewId, UserId};
use kit::auth::{Caller, Role};
use kit::extract::{IfMatch, Path, Query, etag};
use kit::grpc::Client;
use kit::openapi;
use kit::outbox::Outbox;
use kit::page::{Page, PageQuery};
use kit::problem::{Body, Problem, Result, STALE};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::db::{self, Hidden};
use crate::review::{Rating, Review, Tally};

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) pool: PgPool,
    pub(crate) outbox: Outbox,
    pub(crate) orders: OrdersClient<Client>,
    pub(crate) catalog: CatalogClient<Client>,
}

fn api() -> OpenApiRouter<Api> {
    let document = openapi::document("Reviews", "Reviews and ratings of products.");
    OpenApiRouter::with_openapi(document)
        .routes(routes!(list, writing::post))
        .routes(routes!(show, writing::change, writing::remove))
        .routes(routes!(answering::answer, answering::retract))
        .routes(routes!(moderation::report, moderation::reports))
        .routes(routes!(moderation::reported))
        .routes(routes!(moderation::hide, moderation::restore))
}

/// The document of the API.
pub(crate) fn document() -> OpenApi {
    api().into_openapi()
}

/// The routes of the API.
pub(crate) fn router(state: Api) -> Router {
    api().with_state(state).into()
}

/// A page of a product's reviews, and what all of them add up to.
#[derive(Debug, Serialize, ToSchema)]
struct ReviewPage {
    rating: Rating,
    #[serde(flatten)]
    page: Page<Review>,
}

/// Lists the reviews of a product, the latest first; hidden ones for their authors and administrators
/// alone. Whether there is such a product is not looked at: what does not exist has no reviews.
#[utoipa::path(
    get, path = "/api/v1/products/{product_id}/reviews", tag = "reviews",
    params(("product_id" = ProductId, Path), PageQuery),
    responses(
        (status = 200, body = ReviewPage),
        (status = 400, body = Body),
    ),
)]
async fn list(
    State(api): State<Api>,
    caller: Option<Caller>,
    Path(product): Path<ProductId>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<ReviewPage>> {
    let window = query.window()?;
    let mut connection = api.pool.acquire().await?;
    let hidden = match &caller {
        None => Hidden::None,
        Some(caller) if caller.has(Role::Admin) => Hidden::All,
        Some(caller) => Hidden::Of(caller.user_id),
    };
    let reviews = db::list(&mut connection, product, hidden, &window).await?;
    let tallies = db::tallies(&mut connection, &[product.uuid()]).await?;
    let tally = tallies.first().map_or(Tally::default(), |(_, tally)| *tally);
    let page = window.page(reviews, |review| review.id);
    Ok(axum::Json(ReviewPage { rating: tally.into(), page }))
}

/// Shows a review.
#[utoipa::path(
    get, path = "/api/v1/reviews/{id}", tag = "reviews",
    params(("id" = ReviewId, Path)),
    responses(
        (status = 200, body = Review, headers(("ETag" = String, description = "Its version"))),
    ),
)]
async fn show(
    State(api): State<Api>,
    caller: Option<Caller>,
    Path(id): Path<ReviewId>,
) -> Result<impl IntoResponse> {
    let found = db::find(&mut *api.pool.acquire().await?, id).await?;
    let review = seen(found, caller.as_ref())?;
    Ok((etag(review.version), axum::Json(review)))
}

/// The review, if there is one that the reader may see.
fn seen(found: Option<Review>, reader: Option<&Caller>) -> Result<Review> {
    let seen = found.filter(|review| !review.is_hidden_from(reader));
    seen.ok_or_else(|| Problem::not_found("review"))
}

/// The review, if the caller may see it, kept from changing until the transaction ends.
async fn lock_seen(connection: &mut PgConnection, caller: &Caller, id: ReviewId) -> Result<Review> {
    seen(db::lock(connection, id).await?, Some(caller))
}

/// Refuses who has read another version.
fn is_current(review: &Review, IfMatch(version): IfMatch) -> Result<()> {
    if review.version == version {
        Ok(())
    } else {
        Err(Problem::new(STALE, "read the review again"))
    }
}

/// Whether this person sells the product, on sale or not.
async fn sells(api: &Api, user: UserId, product: ProductId) -> Result<bool> {
    let request = GetProductsRequest { ids: vec![product.to_string()] };
    let answer = api.catalog.clone().get_products(request).await.map_err(Problem::unavailable)?;
    let (product, seller) = (product.to_string(), user.to_string());
    let products = answer.into_inner().products;
    Ok(products.iter().any(|found| found.id == product && found.seller_id == seller))
}

/// Adds so many reviews and so much to the sum of the ratings of the review's product, and tells
/// others.
async fn count(
    api: &Api,
    tx: &mut PgConnection,
    review: &Review,
    count: i64,
    sum: i64,
) -> Result<()> {
    let tally = db::tally(tx, review.product_id, count, sum).await?;
    let tally = tally.ok_or_else(|| Problem::not_found("product"))?;
    api.outbox.append(tx, &review.posted(tally)).await?;
    Ok(())
}
