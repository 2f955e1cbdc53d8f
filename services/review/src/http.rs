//! The HTTP API: what everybody reads here, what shoppers write in [`writing`].

mod writing;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use contracts::proto::order::orders_client::OrdersClient;
use contracts::{ProductId, ReviewId};
use kit::extract::{Path, Query, etag};
use kit::grpc::Client;
use kit::openapi;
use kit::outbox::Outbox;
use kit::page::{Page, PageQuery};
use kit::problem::{Body, Problem, Result};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::db;
use crate::review::{Rating, Review, Tally};

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) pool: PgPool,
    pub(crate) outbox: Outbox,
    pub(crate) orders: OrdersClient<Client>,
}

fn api() -> OpenApiRouter<Api> {
    let document = openapi::document("Reviews", "Reviews and ratings of products.");
    OpenApiRouter::with_openapi(document).routes(routes!(list, writing::post)).routes(routes!(
        show,
        writing::change,
        writing::remove
    ))
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

/// Lists the reviews of a product, the latest first. Whether there is such a product is not looked
/// at: what does not exist has no reviews.
#[utoipa::path(
    get, path = "/api/v1/products/{product_id}/reviews", tag = "reviews",
    params(("product_id" = ProductId, Path), PageQuery),
    responses(
        (status = 200, body = ReviewPage),
        (status = 400, body = Body, content_type = "application/problem+json"),
    ),
)]
async fn list(
    State(api): State<Api>,
    Path(product): Path<ProductId>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<ReviewPage>> {
    let window = query.window()?;
    let mut connection = api.pool.acquire().await?;
    let reviews = db::list(&mut connection, product, &window).await?;
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
        (status = 404, body = Body, content_type = "application/problem+json"),
    ),
)]
async fn show(State(api): State<Api>, Path(id): Path<ReviewId>) -> Result<impl IntoResponse> {
    let found = db::find(&mut *api.pool.acquire().await?, id).await?;
    let review = found.ok_or_else(|| Problem::not_found("review"))?;
    Ok((etag(review.version), axum::Json(review)))
}
