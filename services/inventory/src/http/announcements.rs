//! Supplies that are announced, come in part or whole, or never.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{Datelike, Days, NaiveDate, Utc};
use contracts::{Sku, text};
use http::StatusCode;
use kit::extract::{IfMatch, Json, Path, Query, etag};
use kit::idempotency::{Begun, IdempotencyKey, Request};
use kit::page::{Page, PageQuery};
use kit::problem::{Body, CONFLICT, Fields, MALFORMED, Problem, Result, STALE};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Api, Stock, check_note, check_units, managed, out_of_range};
use crate::access::Manager;
use crate::announcement::{Announcement, State as Progress};
use crate::db::{self, Reason};

/// Longest reference, in characters.
const MAX_REFERENCE: usize = 100;
/// Furthest day that anything is expected on, in days from now: ten years.
const MAX_DAYS: u64 = 3653;

/// Units that are to come.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAnnouncement {
    /// How many; from 1 to 1 000 000 000.
    quantity: i64,
    /// The day on which they are expected; not in the past.
    expected_on: NaiveDate,
    /// What the supplier calls it; 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

impl NewAnnouncement {
    fn check(&self) -> Result<()> {
        let mut fields = Fields::default();
        check_units(&mut fields, self.quantity);
        let today = Utc::now().date_naive();
        // Where the clerk is, it may still be the day before.
        let (first, last) = (today - Days::new(1), today + Days::new(MAX_DAYS));
        let sane = (first..=last).contains(&self.expected_on);
        fields.check(sane, "/expected_on", "not in the past, and within ten years");
        let fits = |text: &String| text.chars().count() <= MAX_REFERENCE && !text.trim().is_empty();
        let detail = format!("1 to {MAX_REFERENCE} characters, or none");
        fields.check(self.reference.as_ref().is_none_or(fits), "/reference", detail);
        fields.take("/reference", self.reference.as_deref().map_or(Ok(()), text::line));
        fields.finish()
    }
}

/// Announces a supply of a SKU, for the seller of its product; for administrators of any SKU, new or known.
#[utoipa::path(
    post, path = "/api/v1/stock/{sku}/announcements", tag = "announcements",
    params(("sku" = Sku, Path), ("Idempotency-Key" = String, Header)),
    request_body = NewAnnouncement,
    responses(
        (status = 201, body = Announcement),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn announce(
    State(api): State<Api>,
    manager: Manager,
    Path(sku): Path<Sku>,
    key: IdempotencyKey,
    Json(body): Json<NewAnnouncement>,
) -> Result<Response> {
    body.check()?;
    let request = Request::new(manager.user_id, key, &format!("announce {sku}"), &body)?;
    let mut tx = match request.begin(&api.pool).await? {
        Begun::New(tx) => tx,
        Begun::Done(answer) => return Ok(answer),
    };
    managed(&mut tx, &manager, &sku).await?;
    let NewAnnouncement { quantity, expected_on, reference } = body;
    let announcement = Announcement {
        id: Uuid::now_v7(),
        sku: sku.into(),
        quantity,
        received: 0,
        expected_on,
        reference,
        state: Progress::Open,
        user_id: manager.user_id,
        version: 1,
        created_at: Utc::now(),
        updated_at: Utc::now(),
    };
    let stored = db::announce(&mut tx, &announcement).await?;
    request.finish(tx, StatusCode::CREATED, &stored).await
}

/// Which announcements to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AnnouncedQuery {
    /// How far they have come; `open` by default.
    state: Option<Progress>,
    /// Only of this SKU.
    #[param(value_type = Option<String>)]
    sku: Option<Sku>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many, 1 to 100; 20 by default.
    limit: Option<u32>,
    /// Number of the page, from 1, for people who type; `cursor` is faster and exact.
    page: Option<u32>,
}

/// Lists announced supplies, those expected first first: of their own products for sellers, all for administrators.
#[utoipa::path(
    get, path = "/api/v1/stock/announcements", tag = "announcements", params(AnnouncedQuery),
    responses(
        (status = 200, body = Page<Announcement>),
        (status = 400, body = Body),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn announced(
    State(api): State<Api>,
    manager: Manager,
    Query(query): Query<AnnouncedQuery>,
) -> Result<axum::Json<Page<Announcement>>> {
    let AnnouncedQuery { state, sku, cursor, limit, page } = query;
    let window = PageQuery { cursor, limit, page }.window::<(NaiveDate, Uuid)>()?;
    // Postgres knows fewer years than a date that a caller wrote into a cursor.
    if window.after.is_some_and(|(day, _)| !(1..=9999).contains(&day.year())) {
        return Err(Problem::new(MALFORMED, "the cursor is not one of ours"));
    }
    let mut connection = api.pool.acquire().await?;
    let state = state.unwrap_or(Progress::Open);
    let rows = db::announcements(&mut connection, manager.seller(), state, sku.as_ref(), &window);
    let rows = rows.await?;
    Ok(axum::Json(window.page(rows, |row: &Announcement| (row.expected_on, row.id))))
}

/// Shows an announced supply, for the seller of its product and administrators.
#[utoipa::path(
    get, path = "/api/v1/stock/announcements/{id}", tag = "announcements",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = Announcement, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn show_announcement(
    State(api): State<Api>,
    manager: Manager,
    Path(id): Path<Uuid>,
) -> Result<impl IntoResponse> {
    let mut connection = api.pool.acquire().await?;
    let found = db::announcement(&mut connection, id).await?;
    let announcement = found.ok_or_else(|| Problem::not_found("announcement"))?;
    manager.check(db::find(&mut connection, &sku_of(&announcement)?).await?.as_ref())?;
    Ok((etag(announcement.version), axum::Json(announcement)))
}

/// Announced units that have come.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Receipt {
    /// How many; from 1 to 1 000 000 000.
    quantity: i64,
    /// Whether there may be more than were announced.
    #[serde(default)]
    more: bool,
    /// What there is to say about it; up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// What is known after units have come.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Received {
    /// How far the announcement has come.
    announcement: Announcement,
    /// The stock afterwards.
    stock: Stock,
}

/// Takes in announced units, all or a part of them, for the seller of their product and administrators.
#[utoipa::path(
    post, path = "/api/v1/stock/announcements/{id}/receipts", tag = "announcements",
    params(("id" = Uuid, Path), ("Idempotency-Key" = String, Header)),
    request_body = Receipt,
    responses(
        (status = 201, body = Received),
        (status = 403, body = Body),
        (status = 409, description = "It is closed, or there are more than announced", body = Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn receive(
    State(api): State<Api>,
    manager: Manager,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Json(body): Json<Receipt>,
) -> Result<Response> {
    let mut fields = Fields::default();
    check_units(&mut fields, body.quantity);
    check_note(&mut fields, body.note.as_deref());
    fields.finish()?;
    let request = Request::new(manager.user_id, key, &format!("receive {id}"), &body)?;
    let mut tx = match request.begin(&api.pool).await? {
        Begun::New(tx) => tx,
        Begun::Done(answer) => return Ok(answer),
    };
    let found = db::lock_announcement(&mut tx, id).await?;
    let before = found.ok_or_else(|| Problem::not_found("announcement"))?;
    let sku = sku_of(&before)?;
    managed(&mut tx, &manager, &sku).await?;
    let received = before.receive(body.quantity, body.more);
    let (units, state) = received.map_err(|no| Problem::new(CONFLICT, no.to_string()))?;
    let announcement = db::set_announcement(&mut tx, id, units, state).await?;
    let reason = Reason { user: Some(manager.user_id), note: body.note, announcement: Some(id) };
    let change = db::supply(&mut tx, &sku, body.quantity, None, &reason).await;
    let change = change.map_err(out_of_range)?;
    api.tell(&mut tx, &change).await?;
    let stock = Stock::from(change.after);
    request.finish(tx, StatusCode::CREATED, &Received { announcement, stock }).await
}

/// Cancels what has not come yet, for the seller of its product and administrators; what has come stays.
#[utoipa::path(
    post, path = "/api/v1/stock/announcements/{id}/cancel", tag = "announcements",
    params(("id" = Uuid, Path), ("If-Match" = String, Header, description = "The ETag that was read")),
    responses(
        (status = 200, body = Announcement, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
        (status = 409, description = "All of it has come", body = Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn cancel(
    State(api): State<Api>,
    manager: Manager,
    Path(id): Path<Uuid>,
    IfMatch(version): IfMatch,
) -> Result<impl IntoResponse> {
    let mut tx = api.pool.begin().await?;
    let found = db::lock_announcement(&mut tx, id).await?;
    let before = found.ok_or_else(|| Problem::not_found("announcement"))?;
    managed(&mut tx, &manager, &sku_of(&before)?).await?;
    if before.version != version {
        return Err(Problem::new(STALE, "read the announcement again"));
    }
    let announcement = match before.state {
        Progress::Open => {
            db::set_announcement(&mut tx, id, before.received, Progress::Cancelled).await?
        }
        Progress::Received => return Err(Problem::new(CONFLICT, "all of it has come")),
        Progress::Cancelled => before,
    };
    tx.commit().await?;
    Ok((etag(announcement.version), axum::Json(announcement)))
}

/// The SKU that was announced.
fn sku_of(announcement: &Announcement) -> Result<Sku> {
    announcement.sku.parse().map_err(|error: contracts::SkuError| Problem::internal(error))
}
