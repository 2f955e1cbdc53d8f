//! What shoppers do with their own reviews, and administrators with all.

use std::sync::LazyLock;

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::Utc;
use contracts::proto::order::HasReceivedRequest;
use contracts::{ProductId, ReviewId, UserId};
use http::{HeaderValue, StatusCode, header};
use kit::auth::{Caller, Role};
use kit::extract::{IfMatch, Json, Path, etag, present};
use kit::problem::{Body, FORBIDDEN, Kind, Problem, Result};
use kit::{metric, postgres};
use prometheus::IntCounter;
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::{Api, count, is_current, lock_seen, seen, sells};
use crate::db;
use crate::review::Review;

/// Only who has received a product may review it.
pub(crate) const NOT_RECEIVED: Kind =
    Kind::new(403, "product-not-received", "Only buyers who have the product may review it");
/// Its author can change a hidden review, but not remove it.
pub(crate) const REVIEW_HIDDEN: Kind =
    Kind::new(409, "review-hidden", "An administrator has hidden the review");
/// One review per user and product.
pub(crate) const REVIEW_EXISTS: Kind =
    Kind::new(409, "review-exists", "You have reviewed this product already");

static POSTED: LazyLock<IntCounter> =
    metric!(counter, "reviews_posted_total", "Reviews that shoppers have written.");

/// A review to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewReview {
    /// From 1 to 5; more is better.
    rating: i16,
    /// A line above the text, up to 200 characters.
    #[serde(default)]
    title: Option<String>,
    /// 1 to 4000 characters.
    text: String,
}

impl NewReview {
    fn of(self, product_id: ProductId, user_id: UserId) -> Review {
        let now = Utc::now();
        Review {
            id: ReviewId::new(),
            product_id,
            user_id,
            rating: self.rating,
            title: self.title,
            text: self.text,
            answer: None,
            hidden: false,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// What to change of a review; what is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::option_option, reason = "absent and null are different")]
pub(super) struct Change {
    /// From 1 to 5; more is better.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    rating: Option<i16>,
    /// A line above the text, up to 200 characters; null takes it away.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    title: Option<Option<String>>,
    /// 1 to 4000 characters.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    text: Option<String>,
}

impl Change {
    fn of(self, review: &Review) -> Review {
        let review = review.clone();
        Review {
            rating: self.rating.unwrap_or(review.rating),
            title: self.title.unwrap_or(review.title),
            text: self.text.unwrap_or(review.text),
            ..review
        }
    }
}

/// Reviews a product that the caller has received, does not sell, and that was not deleted since.
#[utoipa::path(
    post, path = "/api/v1/products/{product_id}/reviews", tag = "reviews",
    params(("product_id" = ProductId, Path)), request_body = NewReview,
    responses(
        (status = 201, body = Review, headers(("ETag" = String, description = "Its version"), ("Location" = String))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn post(
    State(api): State<Api>,
    caller: Caller,
    Path(product): Path<ProductId>,
    Json(body): Json<NewReview>,
) -> Result<impl IntoResponse> {
    let review = body.of(product, caller.user_id);
    review.check()?;
    refuse_seller(&api, caller.user_id, product).await?;
    if !has_received(&api, caller.user_id, product).await? {
        return Err(Problem::new(NOT_RECEIVED, "no order of yours has brought it to you yet"));
    }
    let mut tx = api.pool.begin().await?;
    let review = db::insert(&mut tx, review).await.map_err(refused)?;
    db::open_tally(&mut tx, product).await?;
    count(&api, &mut tx, &review, 1, review.rating.into()).await?;
    tx.commit().await?;
    POSTED.inc();
    let location = format!("/api/v1/reviews/{}", review.id);
    let location = HeaderValue::try_from(location).map_err(Problem::internal)?;
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, etag(review.version), headers, axum::Json(review)))
}

/// Changes a review of the caller, or as an administrator any; not of a product that the caller sells.
#[utoipa::path(
    patch, path = "/api/v1/reviews/{id}", tag = "reviews",
    params(("id" = ReviewId, Path), ("If-Match" = String, Header, description = "The ETag that was read")),
    request_body = Change,
    responses(
        (status = 200, body = Review, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ReviewId>,
    version: IfMatch,
    Json(body): Json<Change>,
) -> Result<impl IntoResponse> {
    // No transaction waits for the catalog.
    let found = db::find(&mut *api.pool.acquire().await?, id).await?;
    let product = own(seen(found, Some(&caller))?, &caller)?.product_id;
    refuse_seller(&api, caller.user_id, product).await?;
    let mut tx = api.pool.begin().await?;
    let current = lock_own(&mut tx, &caller, id, version).await?;
    let changed = body.of(&current);
    if changed == current {
        return Ok((etag(current.version), axum::Json(current)));
    }
    changed.check()?;
    let stored = db::update(&mut tx, changed).await?;
    // What is hidden stays so, whatever it says now.
    if !stored.hidden {
        let difference = i64::from(stored.rating) - i64::from(current.rating);
        count(&api, &mut tx, &stored, 0, difference).await?;
    }
    tx.commit().await?;
    Ok((etag(stored.version), axum::Json(stored)))
}

/// Removes a review of the caller, who may then write another; administrators remove any. What an
/// administrator has hidden its author cannot remove: they would write it again.
#[utoipa::path(
    delete, path = "/api/v1/reviews/{id}", tag = "reviews",
    params(("id" = ReviewId, Path), ("If-Match" = String, Header, description = "The ETag that was read")),
    responses(
        (status = 204),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ReviewId>,
    version: IfMatch,
) -> Result<StatusCode> {
    let mut tx = api.pool.begin().await?;
    let review = lock_own(&mut tx, &caller, id, version).await?;
    if review.hidden && !caller.has(Role::Admin) {
        return Err(Problem::new(REVIEW_HIDDEN, "an administrator decides what becomes of it"));
    }
    db::delete(&mut tx, id).await?;
    if !review.hidden {
        count(&api, &mut tx, &review, -1, -i64::from(review.rating)).await?;
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses the seller of the product: its rating is for others.
async fn refuse_seller(api: &Api, user: UserId, product: ProductId) -> Result<()> {
    if sells(api, user, product).await? {
        return Err(Problem::new(FORBIDDEN, "you sell this product: others review it"));
    }
    Ok(())
}

async fn has_received(api: &Api, user: UserId, product: ProductId) -> Result<bool> {
    let request = HasReceivedRequest { user_id: user.to_string(), product_id: product.to_string() };
    let answer = api.orders.clone().has_received(request).await.map_err(Problem::unavailable)?;
    Ok(answer.into_inner().received)
}

/// The review, if the caller may change it and knows its current version.
async fn lock_own(
    connection: &mut PgConnection,
    caller: &Caller,
    id: ReviewId,
    version: IfMatch,
) -> Result<Review> {
    let review = own(lock_seen(connection, caller, id).await?, caller)?;
    is_current(&review, version)?;
    Ok(review)
}

/// The review, if the caller may change it.
fn own(review: Review, caller: &Caller) -> Result<Review> {
    if review.user_id != caller.user_id && !caller.has(Role::Admin) {
        return Err(Problem::new(FORBIDDEN, "the review is somebody else's"));
    }
    Ok(review)
}

fn refused(error: sqlx::Error) -> Problem {
    match postgres::violated(&error) {
        Some("reviews_one_per_user") => Problem::new(REVIEW_EXISTS, "change that one instead"),
        _ => error.into(),
    }
}
