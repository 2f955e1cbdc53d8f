//! What the seller of a product says about a review of it, and administrators in their place.

use axum::extract::State;
use axum::response::IntoResponse;
use contracts::ReviewId;
use http::StatusCode;
use kit::auth::{Caller, Role};
use kit::extract::{IfMatch, Json, Path, etag};
use kit::problem::{Body, FORBIDDEN, Problem, Result};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Api, is_current, lock_seen, seen, sells};
use crate::db;
use crate::review::{Answer, Review};

/// An answer to a review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAnswer {
    /// 1 to 4000 characters.
    text: String,
}

/// Answers a review of a product that the caller sells, or changes the answer. The version is that of
/// the review: nobody answers a text that they have not read.
#[utoipa::path(
    put, path = "/api/v1/reviews/{id}/answer", tag = "answers",
    params(("id" = ReviewId, Path), ("If-Match" = String, Header, description = "The ETag of the review that was read")),
    request_body = NewAnswer,
    responses(
        (status = 200, body = Review, headers(("ETag" = String, description = "The version of the review"))),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn answer(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ReviewId>,
    version: IfMatch,
    Json(body): Json<NewAnswer>,
) -> Result<impl IntoResponse> {
    Answer::check(&body.text)?;
    let review = store(&api, &caller, id, version, Some(&body.text)).await?;
    Ok((etag(review.version), axum::Json(review)))
}

/// Takes an answer away.
#[utoipa::path(
    delete, path = "/api/v1/reviews/{id}/answer", tag = "answers",
    params(("id" = ReviewId, Path), ("If-Match" = String, Header, description = "The ETag of the review that was read")),
    responses(
        (status = 204),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn retract(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ReviewId>,
    version: IfMatch,
) -> Result<StatusCode> {
    store(&api, &caller, id, version, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stores an answer, or that there is none any more, if the caller may.
async fn store(
    api: &Api,
    caller: &Caller,
    id: ReviewId,
    version: IfMatch,
    text: Option<&str>,
) -> Result<Review> {
    caller.require(Role::Seller)?;
    // The catalog is asked before the transaction, which should not wait for it. A review stays with
    // its product, and a product with its seller.
    let found = db::find(&mut *api.pool.acquire().await?, id).await?;
    let product = seen(found, Some(caller))?.product_id;
    if !caller.has(Role::Admin) && !sells(api, caller.user_id, product).await? {
        return Err(Problem::new(FORBIDDEN, "the product belongs to another seller"));
    }
    let mut tx = api.pool.begin().await?;
    let review = lock_seen(&mut tx, caller, id).await?;
    is_current(&review, version)?;
    if text.is_none() && review.answer.is_none() {
        return Err(Problem::not_found("answer"));
    }
    let answer = text.map(|text| (caller.user_id, text));
    let stored = db::set_answer(&mut tx, id, answer).await?;
    tx.commit().await?;
    Ok(stored)
}
