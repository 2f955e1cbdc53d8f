//! What people say against reviews, and what administrators do about it.

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::Utc;
use contracts::ReviewId;
use http::StatusCode;
use kit::auth::{Caller, Role};
use kit::extract::{IfMatch, Json, Path, Query, etag};
use kit::page::{Page, PageQuery};
use kit::postgres;
use kit::problem::{Body, FORBIDDEN, Kind, Problem, Result};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Api, count, is_current, lock_seen};
use crate::db::{self, Decided};
use crate::review::{Reason, Report, Reported, Review};

/// One report per user and review.
pub(crate) const REPORT_EXISTS: Kind =
    Kind::new(409, "report-exists", "You have reported this review already");

/// What is wrong with a review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewReport {
    /// The kind of fault.
    reason: Reason,
    /// More about it, 1 to 1000 characters; needed for `other`.
    #[serde(default)]
    text: Option<String>,
}

/// Reports a review of somebody else to the administrators; each person once.
#[utoipa::path(
    post, path = "/api/v1/reviews/{id}/reports", tag = "moderation",
    params(("id" = ReviewId, Path)), request_body = NewReport,
    responses(
        (status = 201, body = Report),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn report(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ReviewId>,
    Json(body): Json<NewReport>,
) -> Result<impl IntoResponse> {
    let report = Report {
        id: Uuid::now_v7(),
        review_id: id,
        user_id: caller.user_id,
        reason: body.reason,
        text: body.text,
        created_at: Utc::now(),
    };
    report.check()?;
    let mut tx = api.pool.begin().await?;
    let review = lock_seen(&mut tx, &caller, id).await?;
    if review.user_id == caller.user_id {
        return Err(Problem::new(FORBIDDEN, "the review is yours: change or remove it"));
    }
    let report = db::insert_report(&mut tx, report).await.map_err(refused)?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, axum::Json(report)))
}

/// Which reported reviews to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReportedQuery {
    /// Those that an administrator has decided upon since the latest report, rather than those that
    /// wait for a decision.
    #[serde(default)]
    decided: bool,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many, 1 to 100; 20 by default.
    limit: Option<u32>,
    /// Number of the page, from 1, for people who type; `cursor` is faster and exact.
    page: Option<u32>,
}

/// Lists the reviews that were reported, the latest report first, for administrators.
#[utoipa::path(
    get, path = "/api/v1/reviews/reported", tag = "moderation", params(ReportedQuery),
    responses(
        (status = 200, body = Page<Reported>),
        (status = 400, body = Body),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn reported(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ReportedQuery>,
) -> Result<axum::Json<Page<Reported>>> {
    caller.require(Role::Admin)?;
    let ReportedQuery { decided, cursor, limit, page } = query;
    let window = PageQuery { cursor, limit, page }.window()?;
    let rows = db::reported(&mut *api.pool.acquire().await?, decided, &window).await?;
    Ok(axum::Json(window.page(rows, |reported: &Reported| reported.latest_report)))
}

/// Lists what was said against a review, the latest first, for administrators.
#[utoipa::path(
    get, path = "/api/v1/reviews/{id}/reports", tag = "moderation",
    params(("id" = ReviewId, Path), PageQuery),
    responses(
        (status = 200, body = Page<Report>),
        (status = 400, body = Body),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn reports(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ReviewId>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Report>>> {
    caller.require(Role::Admin)?;
    let window = query.window()?;
    let mut connection = api.pool.acquire().await?;
    db::find(&mut connection, id).await?.ok_or_else(|| Problem::not_found("review"))?;
    let rows = db::reports(&mut connection, id, &window).await?;
    Ok(axum::Json(window.page(rows, |report: &Report| report.id)))
}

/// Hides a review from everybody but its author and administrators, who decide so; it counts no more.
/// No version is asked for: an author who changes the text again and again would never be hidden.
#[utoipa::path(
    put, path = "/api/v1/reviews/{id}/hidden", tag = "moderation", params(("id" = ReviewId, Path)),
    responses(
        (status = 200, body = Review, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn hide(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ReviewId>,
) -> Result<impl IntoResponse> {
    let review = decide(&api, &caller, id, None, Decided::Hide).await?;
    Ok((etag(review.version), axum::Json(review)))
}

/// Shows a review to everybody, as it was read by the administrator who decides so: one that was
/// hidden counts again, and one that was not has been reported for nothing.
#[utoipa::path(
    delete, path = "/api/v1/reviews/{id}/hidden", tag = "moderation",
    params(("id" = ReviewId, Path), ("If-Match" = String, Header, description = "The ETag that was read")),
    responses(
        (status = 200, body = Review, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn restore(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ReviewId>,
    version: IfMatch,
) -> Result<impl IntoResponse> {
    let review = decide(&api, &caller, id, Some(version), Decided::Show).await?;
    Ok((etag(review.version), axum::Json(review)))
}

/// Stores a decision; what the reviews of the product add up to follows at once.
async fn decide(
    api: &Api,
    caller: &Caller,
    id: ReviewId,
    version: Option<IfMatch>,
    decided: Decided,
) -> Result<Review> {
    caller.require(Role::Admin)?;
    let mut tx = api.pool.begin().await?;
    let before = lock_seen(&mut tx, caller, id).await?;
    if let Some(version) = version {
        is_current(&before, version)?;
    }
    let review = db::set_hidden(&mut tx, id, decided).await?;
    let rating = i64::from(review.rating);
    match (before.hidden, review.hidden) {
        (false, true) => count(api, &mut tx, &review, -1, -rating).await?,
        (true, false) => count(api, &mut tx, &review, 1, rating).await?,
        (true, true) | (false, false) => {}
    }
    tx.commit().await?;
    tracing::info!(review_id = %id, user_id = %caller.user_id, ?decided, "a review was decided upon");
    Ok(review)
}

fn refused(error: sqlx::Error) -> Problem {
    match postgres::violated(&error) {
        Some("reports_one_per_user") => {
            Problem::new(REPORT_EXISTS, "the administrators have read it or will")
        }
        _ => error.into(),
    }
}
