//! The HTTP API.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use contracts::{OrderId, Sku, UserId};
use http::StatusCode;
use kit::auth::{Caller, Role};
use kit::extract::{Json, Path, Query};
use kit::idempotency::{Begun, IdempotencyKey, Request};
use kit::page::{Page, PageQuery};
use kit::problem::{CONFLICT, Fields, Problem, Result};
use kit::{openapi, postgres};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::db::{self, Reason};
use crate::stock::Kind;

/// Most units that move at once by hand; more is a slip of the finger.
const MAX_UNITS: i64 = 1_000_000_000;
/// Longest note, in characters.
const MAX_NOTE: usize = 500;

fn api() -> OpenApiRouter<PgPool> {
    let document = openapi::document("Inventory", "Stock, reservations and movements of a shop.");
    OpenApiRouter::with_openapi(document)
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(adjust))
        .routes(routes!(supply))
        .routes(routes!(movements))
}

/// The document of the API.
pub(crate) fn document() -> OpenApi {
    api().into_openapi()
}

/// The routes of the API.
pub(crate) fn router(pool: PgPool) -> Router {
    api().with_state(pool).into()
}

/// What everybody may know of a SKU.
#[derive(Debug, Serialize, ToSchema)]
struct Availability {
    sku: String,
    /// Units that can be bought now.
    available: i64,
}

/// What staff may know of a SKU.
#[derive(Debug, Serialize, ToSchema)]
struct Stock {
    sku: String,
    /// Units that can be bought now.
    available: i64,
    /// Units that are held for orders.
    reserved: i64,
    /// At or below this many available units the stock is low.
    low_threshold: Option<i64>,
    /// Grows by one with every change.
    version: i64,
    updated_at: DateTime<Utc>,
}

impl From<db::Stock> for Stock {
    fn from(row: db::Stock) -> Self {
        let db::Stock { sku, available, reserved, low_threshold, version, updated_at } = row;
        Self { sku, available, reserved, low_threshold, version, updated_at }
    }
}

/// Units that have moved.
#[derive(Debug, Serialize, ToSchema)]
struct Movement {
    id: i64,
    kind: Kind,
    /// How many; negative only for adjustments.
    quantity: i64,
    /// What it did to the available units.
    available_delta: i64,
    /// What it did to the reserved units.
    reserved_delta: i64,
    /// The order that caused it.
    order_id: Option<OrderId>,
    /// The person who caused it.
    user_id: Option<UserId>,
    note: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<db::Movement> for Movement {
    fn from(row: db::Movement) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            quantity: row.quantity,
            available_delta: row.available_delta,
            reserved_delta: row.reserved_delta,
            order_id: row.order_id.map(Into::into),
            user_id: row.user_id.map(Into::into),
            note: row.note,
            created_at: row.created_at,
        }
    }
}

/// A count that differs from ours.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    /// Units to add, or to take away when negative; from -1 000 000 000 to 1 000 000 000, not 0.
    delta: i64,
    /// Why; up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Units that came in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Supply {
    /// How many; from 1 to 1 000 000 000.
    quantity: i64,
    /// From where; up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// From now on the stock is low at or below this many available units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low_threshold: Option<i64>,
}

fn check_note(fields: &mut Fields, note: Option<&str>) {
    let short = note.is_none_or(|note| note.chars().count() <= MAX_NOTE);
    fields.check(short, "/note", format!("up to {MAX_NOTE} characters"));
}

/// Says how many units of a SKU can be bought.
#[utoipa::path(
    get, path = "/api/v1/stock/{sku}", tag = "stock",
    params(("sku" = Sku, Path)),
    responses(
        (status = 200, body = Availability),
        (status = 404, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
)]
async fn show(
    State(pool): State<PgPool>,
    Path(sku): Path<Sku>,
) -> Result<axum::Json<Availability>> {
    let found = db::available(&mut *pool.acquire().await?, &[sku.into()]).await?;
    let (sku, available) = found.into_iter().next().ok_or_else(|| Problem::not_found("SKU"))?;
    Ok(axum::Json(Availability { sku, available }))
}

/// Lists stock by SKU, for sellers and administrators.
#[utoipa::path(
    get, path = "/api/v1/stock", tag = "stock", params(PageQuery),
    responses(
        (status = 200, body = Page<Stock>),
        (status = 403, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
async fn list(
    State(pool): State<PgPool>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Stock>>> {
    caller.require(Role::Seller)?;
    let window = query.window()?;
    let rows = db::list(&mut *pool.acquire().await?, &window).await?;
    let stock = rows.into_iter().map(Stock::from).collect();
    Ok(axum::Json(window.page(stock, |stock| stock.sku.clone())))
}

/// Corrects the available units of a SKU, for sellers and administrators.
#[utoipa::path(
    post, path = "/api/v1/stock/{sku}/adjustments", tag = "stock",
    params(("sku" = Sku, Path), ("Idempotency-Key" = String, Header)),
    request_body = Adjustment,
    responses(
        (status = 201, description = "The stock afterwards", body = Stock),
        (status = 404, body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 409, description = "There are not so many units, or too many", body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 422, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
async fn adjust(
    State(pool): State<PgPool>,
    caller: Caller,
    Path(sku): Path<Sku>,
    key: IdempotencyKey,
    Json(body): Json<Adjustment>,
) -> Result<Response> {
    caller.require(Role::Seller)?;
    let mut fields = Fields::default();
    let sane = body.delta != 0 && body.delta.unsigned_abs() <= MAX_UNITS.unsigned_abs();
    fields.check(sane, "/delta", format!("from -{MAX_UNITS} to {MAX_UNITS}, not 0"));
    check_note(&mut fields, body.note.as_deref());
    fields.finish()?;
    let request = Request::new(caller.user_id, key, &format!("adjust {sku}"), &body)?;
    let mut tx = match request.begin(&pool).await? {
        Begun::New(tx) => tx,
        Begun::Done(answer) => return Ok(answer),
    };
    let reason = Reason { user: Some(caller.user_id), note: body.note };
    let stock = db::adjust(&mut tx, &sku, body.delta, &reason).await.map_err(out_of_range)?;
    let stock = Stock::from(stock.ok_or_else(|| Problem::not_found("SKU"))?);
    request.finish(tx, StatusCode::CREATED, &stock).await
}

/// Takes in units of a SKU, new or known, for sellers and administrators.
#[utoipa::path(
    post, path = "/api/v1/stock/{sku}/supplies", tag = "stock",
    params(("sku" = Sku, Path), ("Idempotency-Key" = String, Header)),
    request_body = Supply,
    responses(
        (status = 201, description = "The stock afterwards", body = Stock),
        (status = 409, description = "There would be too many units", body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 422, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
async fn supply(
    State(pool): State<PgPool>,
    caller: Caller,
    Path(sku): Path<Sku>,
    key: IdempotencyKey,
    Json(body): Json<Supply>,
) -> Result<Response> {
    caller.require(Role::Seller)?;
    let mut fields = Fields::default();
    let units = 1..=MAX_UNITS;
    fields.check(units.contains(&body.quantity), "/quantity", format!("from 1 to {MAX_UNITS}"));
    let threshold = body.low_threshold.is_none_or(|units| (0..=MAX_UNITS).contains(&units));
    fields.check(threshold, "/low_threshold", format!("from 0 to {MAX_UNITS}"));
    check_note(&mut fields, body.note.as_deref());
    fields.finish()?;
    let request = Request::new(caller.user_id, key, &format!("supply {sku}"), &body)?;
    let mut tx = match request.begin(&pool).await? {
        Begun::New(tx) => tx,
        Begun::Done(answer) => return Ok(answer),
    };
    let reason = Reason { user: Some(caller.user_id), note: body.note };
    let stock = db::supply(&mut tx, &sku, body.quantity, body.low_threshold, &reason).await;
    let stock = Stock::from(stock.map_err(out_of_range)?);
    request.finish(tx, StatusCode::CREATED, &stock).await
}

/// Lists what has moved of a SKU, the latest first, for administrators.
#[utoipa::path(
    get, path = "/api/v1/stock/{sku}/movements", tag = "stock",
    params(("sku" = Sku, Path), PageQuery),
    responses(
        (status = 200, body = Page<Movement>),
        (status = 404, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
async fn movements(
    State(pool): State<PgPool>,
    caller: Caller,
    Path(sku): Path<Sku>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Movement>>> {
    caller.require(Role::Admin)?;
    let window = query.window()?;
    let mut connection = pool.acquire().await?;
    if db::is_unknown(&mut connection, &sku).await? {
        return Err(Problem::not_found("SKU"));
    }
    let rows = db::movements(&mut connection, &sku, &window).await?;
    let movements = rows.into_iter().map(Movement::from).collect();
    Ok(axum::Json(window.page(movements, |movement: &Movement| movement.id)))
}

fn out_of_range(error: sqlx::Error) -> Problem {
    match postgres::violated(&error) {
        Some("stock_available_not_negative") => {
            Problem::new(CONFLICT, "there are not so many available units")
        }
        Some("stock_ceiling") => Problem::new(CONFLICT, "there would be more units than fit"),
        _ => error.into(),
    }
}
