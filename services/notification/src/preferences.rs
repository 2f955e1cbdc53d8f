//! What shoppers want to be told.

use axum::Json;
use axum::extract::State as Shared;
use kit::auth::Caller;
use kit::extract;
use kit::problem::{Body, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db::preferences;
use crate::http::State;

/// Channels that somebody wants to hear of their orders by. Letters about the account itself, as those that
/// bring a token along, are sent in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Preferences {
    /// By e-mail.
    pub email: bool,
    /// By short message, once a number is verified. Absent in a request: as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sms: Option<bool>,
}

/// What the caller wants to be told; everything, unless they have said otherwise.
#[utoipa::path(
    get, path = "/api/v1/notifications/preferences", tag = "live", security(("bearer" = [])),
    responses(
        (status = 200, body = Preferences),
        (status = 401, description = "unauthenticated", body = Body),
    )
)]
pub(crate) async fn get(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Preferences>> {
    let mut connection = state.pool.acquire().await?;
    Ok(Json(preferences::get(&mut connection, caller.user_id).await?))
}

/// Changes what the caller wants to be told from now on.
#[utoipa::path(
    put, path = "/api/v1/notifications/preferences", tag = "live", security(("bearer" = [])),
    request_body = Preferences,
    responses(
        (status = 200, body = Preferences),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 422, description = "invalid-fields", body = Body),
    )
)]
pub(crate) async fn set(
    Shared(state): Shared<State>,
    caller: Caller,
    extract::Json(wanted): extract::Json<Preferences>,
) -> Result<Json<Preferences>> {
    let mut tx = state.pool.begin().await?;
    preferences::set(&mut tx, caller.user_id, wanted).await?;
    let wanted = preferences::get(&mut tx, caller.user_id).await?;
    tx.commit().await?;
    Ok(Json(wanted))
}
