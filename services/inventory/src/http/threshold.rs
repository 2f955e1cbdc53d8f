//! At how many units a SKU is low.

use axum::extract::State;
use axum::response::IntoResponse;
use contracts::Sku;
use kit::extract::{IfMatch, Json, Path, etag};
use kit::problem::{Body, Fields, Problem, Result, STALE};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, check_threshold, managed};
use crate::access::Manager;
use crate::db;

/// At how many units a SKU is low. Its version is its own: units come and go meanwhile.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LowMark {
    sku: String,
    /// At or below this many available units the stock is low; null if it never is.
    low_threshold: Option<i64>,
    /// Grows by one with every change of the threshold; send it as `If-Match`.
    version: i64,
}

impl From<db::Stock> for LowMark {
    fn from(row: db::Stock) -> Self {
        let db::Stock { sku, low_threshold, threshold_version: version, .. } = row;
        Self { sku, low_threshold, version }
    }
}

/// Another threshold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLowMark {
    /// From 0 to 1 000 000 000; null if the stock is never low.
    // So that null must be said.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    low_threshold: Option<i64>,
}

/// Says at how many units a SKU is low, for the seller of its product and administrators.
#[utoipa::path(
    get, path = "/api/v1/stock/{sku}/threshold", tag = "stock", params(("sku" = Sku, Path)),
    responses(
        (status = 200, body = LowMark, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn show_threshold(
    State(api): State<Api>,
    manager: Manager,
    Path(sku): Path<Sku>,
) -> Result<impl IntoResponse> {
    let found = db::find(&mut *api.pool.acquire().await?, &sku).await?;
    manager.check(found.as_ref())?;
    let threshold = LowMark::from(found.ok_or_else(|| Problem::not_found("SKU"))?);
    Ok((etag(threshold.version), axum::Json(threshold)))
}

/// Sets at how many units a SKU is low, for the seller of its product and administrators.
#[utoipa::path(
    put, path = "/api/v1/stock/{sku}/threshold", tag = "stock",
    params(("sku" = Sku, Path), ("If-Match" = String, Header, description = "The ETag that was read")),
    request_body = NewLowMark,
    responses(
        (status = 200, body = LowMark, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn set_threshold(
    State(api): State<Api>,
    manager: Manager,
    Path(sku): Path<Sku>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewLowMark>,
) -> Result<impl IntoResponse> {
    let mut fields = Fields::default();
    check_threshold(&mut fields, body.low_threshold);
    fields.finish()?;
    let mut tx = api.pool.begin().await?;
    let found = managed(&mut tx, &manager, &sku).await?;
    let before = found.ok_or_else(|| Problem::not_found("SKU"))?;
    if before.threshold_version != version {
        return Err(Problem::new(STALE, "read the threshold again"));
    }
    let change = db::set_threshold(&mut tx, before, body.low_threshold).await?;
    api.tell(&mut tx, &change).await?;
    tx.commit().await?;
    let threshold = LowMark::from(change.after);
    Ok((etag(threshold.version), axum::Json(threshold)))
}
