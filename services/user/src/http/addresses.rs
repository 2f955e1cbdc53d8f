//! Addresses, for their owners.

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use http::StatusCode;
use kit::auth::Caller;
use kit::extract::{IfMatch, Json, Path, etag};
use kit::problem::{Body, CONFLICT, Problem, Result, STALE};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{State, lock};
use crate::address::{Address, MOST, Place};
use crate::db::addresses;

/// All addresses of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct Addresses {
    /// The default first, then the newest.
    items: Vec<Address>,
}

/// The caller's addresses.
#[utoipa::path(
    get, path = "/api/v1/me/addresses", tag = "accounts", security(("bearer" = [])),
    responses(
        (status = 200, body = Addresses),
        (status = 401, description = "unauthenticated", body = Body),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
) -> Result<axum::Json<Addresses>> {
    let mut connection = state.pool.acquire().await?;
    Ok(axum::Json(Addresses { items: addresses::list(&mut connection, caller.user_id).await? }))
}

/// Adds an address.
#[utoipa::path(
    post, path = "/api/v1/me/addresses", tag = "accounts", security(("bearer" = [])),
    request_body = Place,
    responses(
        (status = 201, body = Address),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 409, description = "conflict", body = Body),
        (status = 422, description = "invalid-fields", body = Body),
    )
)]
pub(super) async fn add(
    Shared(state): Shared<State>,
    caller: Caller,
    Json(mut place): Json<Place>,
) -> Result<impl IntoResponse> {
    place.check()?;
    let mut tx = state.pool.begin().await?;
    lock(&mut tx, &caller).await?;
    let count = addresses::count(&mut tx, caller.user_id).await?;
    if count >= MOST {
        return Err(Problem::new(CONFLICT, format!("an account has {MOST} addresses at most")));
    }
    place.is_default |= count == 0;
    if place.is_default {
        addresses::unmark_others(&mut tx, caller.user_id, None).await?;
    }
    let address = addresses::insert(&mut tx, caller.user_id, &place).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, etag(address.version), axum::Json(address)))
}

/// Changes an address. The default is moved by making another one the default.
#[utoipa::path(
    put, path = "/api/v1/me/addresses/{id}", tag = "accounts", security(("bearer" = [])),
    request_body = Place,
    params(
        ("id" = Uuid, Path, description = "The address"),
        ("If-Match" = String, Header, description = "The version that was read"),
    ),
    responses(
        (status = 200, body = Address),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 404, description = "not-found", body = Body),
        (status = 412, description = "stale-version", body = Body),
        (status = 422, description = "invalid-fields", body = Body),
        (status = 428, description = "version-required", body = Body),
    )
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
    IfMatch(version): IfMatch,
    Json(place): Json<Place>,
) -> Result<impl IntoResponse> {
    place.check()?;
    let mut tx = state.pool.begin().await?;
    lock(&mut tx, &caller).await?;
    if place.is_default {
        addresses::unmark_others(&mut tx, caller.user_id, Some(id)).await?;
    }
    let changed = addresses::update(&mut tx, caller.user_id, id, version, &place).await?;
    let Some(address) = changed else {
        return Err(if addresses::exists(&mut tx, caller.user_id, id).await? {
            Problem::new(STALE, "read the addresses again")
        } else {
            Problem::not_found("address")
        });
    };
    tx.commit().await?;
    Ok((etag(address.version), axum::Json(address)))
}

/// Removes an address. Removing one that is not there is no mistake.
#[utoipa::path(
    delete, path = "/api/v1/me/addresses/{id}", tag = "accounts", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The address")),
    responses((status = 204), (status = 401, description = "unauthenticated", body = Body))
)]
pub(super) async fn remove(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    let mut tx = state.pool.begin().await?;
    lock(&mut tx, &caller).await?;
    addresses::delete(&mut tx, caller.user_id, id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
