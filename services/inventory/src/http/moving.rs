//! What moves by hand: supplies, adjustments, and the history of both and of orders.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use contracts::{OrderId, Sku, UserId};
use http::StatusCode;
use kit::auth::{Caller, Role};
use kit::extract::{Json, Path, Query};
use kit::idempotency::{Begun, IdempotencyKey, Request};
use kit::page::{Page, PageQuery};
use kit::problem::{Fields, Problem, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api, MAX_UNITS, Stock, check_note, check_threshold, check_units, managed, out_of_range,
};
use crate::access::Manager;
use crate::db::{self, Reason};
use crate::stock::Kind;

/// Units that have moved.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Movement {
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
    /// The announcement that said that it would come.
    announcement_id: Option<Uuid>,
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
            announcement_id: row.announcement_id,
            user_id: row.user_id.map(Into::into),
            note: row.note,
            created_at: row.created_at,
        }
    }
}

/// A count that differs from ours.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Adjustment {
    /// Units to add, or to take away when negative; from -1 000 000 000 to 1 000 000 000, not 0.
    delta: i64,
    /// Why; up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Units that came in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Supply {
    /// How many; from 1 to 1 000 000 000.
    quantity: i64,
    /// From where; up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// From now on the stock is low at or below this many available units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low_threshold: Option<i64>,
}

/// Corrects the available units of a SKU, for the seller of its product and administrators.
#[utoipa::path(
    post, path = "/api/v1/stock/{sku}/adjustments", tag = "stock",
    params(("sku" = Sku, Path), ("Idempotency-Key" = String, Header)),
    request_body = Adjustment,
    responses(
        (status = 201, description = "The stock afterwards", body = Stock),
        (status = 403, body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 404, body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 409, description = "There are not so many units, or too many", body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 422, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn adjust(
    State(api): State<Api>,
    manager: Manager,
    Path(sku): Path<Sku>,
    key: IdempotencyKey,
    Json(body): Json<Adjustment>,
) -> Result<Response> {
    let mut fields = Fields::default();
    let sane = body.delta != 0 && body.delta.unsigned_abs() <= MAX_UNITS.unsigned_abs();
    fields.check(sane, "/delta", format!("from -{MAX_UNITS} to {MAX_UNITS}, not 0"));
    check_note(&mut fields, body.note.as_deref());
    fields.finish()?;
    let request = Request::new(manager.user_id, key, &format!("adjust {sku}"), &body)?;
    let mut tx = match request.begin(&api.pool).await? {
        Begun::New(tx) => tx,
        Begun::Done(answer) => return Ok(answer),
    };
    managed(&mut tx, &manager, &sku).await?;
    let reason = Reason { user: Some(manager.user_id), note: body.note, announcement: None };
    let change = db::adjust(&mut tx, &sku, body.delta, &reason).await.map_err(out_of_range)?;
    let change = change.ok_or_else(|| Problem::not_found("SKU"))?;
    api.tell(&mut tx, &change).await?;
    request.finish(tx, StatusCode::CREATED, &Stock::from(change.after)).await
}

/// Takes in units of a SKU, for the seller of its product; for administrators of any SKU, new or known.
#[utoipa::path(
    post, path = "/api/v1/stock/{sku}/supplies", tag = "stock",
    params(("sku" = Sku, Path), ("Idempotency-Key" = String, Header)),
    request_body = Supply,
    responses(
        (status = 201, description = "The stock afterwards", body = Stock),
        (status = 403, body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 404, body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 409, description = "There would be too many units", body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 422, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn supply(
    State(api): State<Api>,
    manager: Manager,
    Path(sku): Path<Sku>,
    key: IdempotencyKey,
    Json(body): Json<Supply>,
) -> Result<Response> {
    let mut fields = Fields::default();
    check_units(&mut fields, body.quantity);
    check_threshold(&mut fields, body.low_threshold);
    check_note(&mut fields, body.note.as_deref());
    fields.finish()?;
    let request = Request::new(manager.user_id, key, &format!("supply {sku}"), &body)?;
    let mut tx = match request.begin(&api.pool).await? {
        Begun::New(tx) => tx,
        Begun::Done(answer) => return Ok(answer),
    };
    managed(&mut tx, &manager, &sku).await?;
    let reason = Reason { user: Some(manager.user_id), note: body.note, announcement: None };
    let change = db::supply(&mut tx, &sku, body.quantity, body.low_threshold, &reason).await;
    let change = change.map_err(out_of_range)?;
    api.tell(&mut tx, &change).await?;
    request.finish(tx, StatusCode::CREATED, &Stock::from(change.after)).await
}

/// Lists what has moved of a SKU, the latest first, for administrators.
#[utoipa::path(
    get, path = "/api/v1/stock/{sku}/movements", tag = "stock",
    params(("sku" = Sku, Path), PageQuery),
    responses(
        (status = 200, body = Page<Movement>),
        (status = 403, body = kit::problem::Body, content_type = "application/problem+json"),
        (status = 404, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn movements(
    State(api): State<Api>,
    caller: Caller,
    Path(sku): Path<Sku>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Movement>>> {
    caller.require(Role::Admin)?;
    let window = query.window()?;
    let mut connection = api.pool.acquire().await?;
    if !db::is_known(&mut connection, &sku).await? {
        return Err(Problem::not_found("SKU"));
    }
    let rows = db::movements(&mut connection, &sku, &window).await?;
    let movements = rows.into_iter().map(Movement::from).collect();
    Ok(axum::Json(window.page(movements, |movement: &Movement| movement.id)))
}
