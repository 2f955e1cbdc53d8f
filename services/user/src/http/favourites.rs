//! Favourites, for their owners.

use axum::extract::State as Shared;
use contracts::ProductId;
use http::StatusCode;
use kit::auth::Caller;
use kit::extract::{Path, Query};
use kit::page::{Page, PageQuery};
use kit::problem::{Body, CONFLICT, Problem, Result};

use super::{State, lock};
use crate::db::favourites::{self, Favourite, Key};

/// Most favourites of one account.
const MOST: i64 = 1000;

/// The caller's favourites, the newest first.
#[utoipa::path(
    get, path = "/api/v1/me/favourites", tag = "accounts", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, body = Page<Favourite>),
        (status = 401, description = "unauthenticated", body = Body),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Favourite>>> {
    let window = query.window()?;
    let mut connection = state.pool.acquire().await?;
    let found = favourites::list(&mut connection, caller.user_id, &window).await?;
    Ok(axum::Json(window.page(found, |found| Key(found.created_at, found.product_id))))
}

/// Adds a product to the caller's favourites. Whether there is such a product the catalog knows.
#[utoipa::path(
    put, path = "/api/v1/me/favourites/{product_id}", tag = "accounts", security(("bearer" = [])),
    params(("product_id" = ProductId, Path, description = "The product")),
    responses(
        (status = 204),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 404, description = "not-found", body = Body),
        (status = 409, description = "conflict", body = Body),
    )
)]
pub(super) async fn add(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<StatusCode> {
    let mut tx = state.pool.begin().await?;
    lock(&mut tx, &caller).await?;
    if !favourites::add(&mut tx, caller.user_id, product, MOST).await? {
        return Err(Problem::new(CONFLICT, format!("an account has {MOST} favourites at most")));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a product from the caller's favourites. Removing one that is not there is no mistake.
#[utoipa::path(
    delete, path = "/api/v1/me/favourites/{product_id}", tag = "accounts", security(("bearer" = [])),
    params(("product_id" = ProductId, Path, description = "The product")),
    responses((status = 204), (status = 401, description = "unauthenticated", body = Body))
)]
pub(super) async fn remove(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<StatusCode> {
    let mut tx = state.pool.begin().await?;
    lock(&mut tx, &caller).await?;
    favourites::remove(&mut tx, caller.user_id, product).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
