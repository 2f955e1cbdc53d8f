//! Accounts, for their owners and for administrators.

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use contracts::UserId;
use kit::auth::{Caller, Role};
use kit::extract::{IfMatch, Json, Path, Query, etag};
use kit::page::{Page, PageQuery};
use kit::problem::{Body, CONFLICT, Problem, Result, STALE};
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::{State, lock, lock_administrators};
use crate::account::{Account, Name};
use crate::credentials;
use crate::db;

/// The caller's account.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "accounts", security(("bearer" = [])),
    responses(
        (status = 200, body = Account),
        (status = 401, description = "unauthenticated", body = Body),
    )
)]
pub(super) async fn me(Shared(state): Shared<State>, caller: Caller) -> Result<impl IntoResponse> {
    let found = state.profiles.find(&state.pool, caller.user_id).await;
    let account = found.map_err(Problem::unavailable)?;
    let account = account.ok_or_else(|| Problem::not_found("account"))?;
    Ok((etag(account.version), axum::Json(Account::clone(&account))))
}

/// What an owner may change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// What the person wants to be called.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// Changes the caller's account.
#[utoipa::path(
    patch, path = "/api/v1/me", tag = "accounts", security(("bearer" = [])), request_body = Profile,
    params(("If-Match" = String, Header, description = "The ETag that was read")),
    responses(
        (status = 200, body = Account),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 412, description = "stale-version", body = Body),
        (status = 422, description = "invalid-fields", body = Body),
        (status = 428, description = "version-required", body = Body),
    )
)]
pub(super) async fn rename(
    Shared(state): Shared<State>,
    caller: Caller,
    IfMatch(version): IfMatch,
    Json(body): Json<Profile>,
) -> Result<impl IntoResponse> {
    let name = body.name.parse::<Name>();
    let name = name.map_err(|error| Problem::invalid_field("/name", error.to_string()))?;
    let mut tx = state.pool.begin().await?;
    lock(&mut tx, &caller).await?;
    let renamed = db::rename(&mut tx, caller.user_id, version, &name).await?;
    let account = changed(&mut tx, caller.user_id, renamed).await?;
    state.commit(tx, account.id, Some(account.version)).await?;
    Ok((etag(account.version), axum::Json(account)))
}

/// The changed account, or why nothing was changed.
async fn changed(
    connection: &mut PgConnection,
    id: UserId,
    changed: Option<Account>,
) -> Result<Account> {
    match changed {
        Some(account) => Ok(account),
        None if db::account(connection, id).await?.is_some() => {
            Err(Problem::new(STALE, "read the account again"))
        }
        None => Err(Problem::not_found("account")),
    }
}

/// Every account, the newest first. For administrators.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "accounts", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, body = Page<Account>),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 403, description = "forbidden", body = Body),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Account>>> {
    caller.require(Role::Admin)?;
    let window = query.window()?;
    let mut connection = state.pool.acquire().await?;
    let accounts = db::list(&mut connection, &window).await?;
    Ok(axum::Json(window.page(accounts, |account| account.id)))
}

/// What an account may do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Roles {
    /// All of its roles; at least one.
    #[schema(min_items = 1)]
    roles: Vec<Role>,
}

/// Changes what an account may do. For administrators.
///
/// A role that is taken away ends at once for every request that changes something, and
/// with the last access token, five minutes later at most, for reading.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/roles", tag = "accounts", security(("bearer" = [])),
    request_body = Roles,
    params(
        ("id" = UserId, Path, description = "The account"),
        ("If-Match" = String, Header, description = "The version that was read"),
    ),
    responses(
        (status = 200, body = Account),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 403, description = "forbidden", body = Body),
        (status = 404, description = "not-found", body = Body),
        (status = 409, description = "conflict", body = Body),
        (status = 412, description = "stale-version", body = Body),
        (status = 428, description = "version-required", body = Body),
    )
)]
pub(super) async fn set_roles(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
    IfMatch(version): IfMatch,
    Json(mut body): Json<Roles>,
) -> Result<impl IntoResponse> {
    let mut tx = state.pool.begin().await?;
    lock_administrators(&mut tx, &caller).await?;
    body.roles.sort_unstable();
    body.roles.dedup();
    if body.roles.is_empty() {
        return Err(Problem::invalid_field("/roles", "must name at least one role"));
    }
    // The caller is an administrator and stays one, so the shop is never left without.
    if id == caller.user_id && !body.roles.contains(&Role::Admin) {
        return Err(Problem::new(CONFLICT, "another administrator must take the role from you"));
    }
    let updated = db::set_roles(&mut tx, id, version, &body.roles).await?;
    let account = changed(&mut tx, id, updated).await?;
    state.commit(tx, id, Some(account.version)).await?;
    tracing::info!(by = %caller.user_id, user = %id, roles = ?account.roles, "roles changed");
    Ok((etag(account.version), axum::Json(account)))
}

/// Whether an account is kept from logging in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    /// True keeps it from logging in and ends its sessions.
    blocked: bool,
}

/// Blocks an account or lets it in again. For administrators.
///
/// Its sessions end at once, and the gateway refuses its last access token
/// within four seconds; sellers and administrators change nothing from then on.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/blocked", tag = "accounts", security(("bearer" = [])),
    request_body = Block,
    params(
        ("id" = UserId, Path, description = "The account"),
        ("If-Match" = String, Header, description = "The version that was read"),
    ),
    responses(
        (status = 200, body = Account),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 403, description = "forbidden", body = Body),
        (status = 404, description = "not-found", body = Body),
        (status = 409, description = "conflict", body = Body),
        (status = 412, description = "stale-version", body = Body),
        (status = 428, description = "version-required", body = Body),
    )
)]
pub(super) async fn set_blocked(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
    IfMatch(version): IfMatch,
    Json(body): Json<Block>,
) -> Result<impl IntoResponse> {
    let mut tx = state.pool.begin().await?;
    lock_administrators(&mut tx, &caller).await?;
    // The caller is an administrator and stays one, so the shop is never left without.
    if id == caller.user_id {
        return Err(Problem::new(CONFLICT, "another administrator must do that"));
    }
    let updated = db::set_blocked(&mut tx, id, version, body.blocked).await?;
    let account = changed(&mut tx, id, updated).await?;
    if body.blocked {
        credentials::end_all(&mut tx, id).await?;
    }
    state.commit(tx, id, Some(account.version)).await?;
    tracing::info!(by = %caller.user_id, user = %id, blocked = body.blocked, "block changed");
    Ok((etag(account.version), axum::Json(account)))
}
