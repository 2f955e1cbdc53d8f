//! The tree of categories: everybody sees it, administrators tend it.

use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderValue, StatusCode, header};
use kit::auth::{Caller, Role};
use kit::extract::{IfMatch, Json, Path, etag, present};
use kit::page::Page;
use kit::postgres;
use kit::problem::{Body, CONFLICT, Kind, Problem, Result, STALE};
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::Api;
use crate::category::Category;
use crate::db;

/// Another category has the slug.
const SLUG_TAKEN: Kind = Kind::new(409, "slug-taken", "Another category has this slug");

/// A category to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCategory {
    /// What URLs and filters will call it: up to 100 of a-z, 0-9 and hyphens between them. It never
    /// changes.
    slug: String,
    /// 1 to 100 characters.
    name: String,
    /// Slug of the category that it is to be a part of.
    parent: Option<String>,
}

/// What to change of a category; what is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CategoryChange {
    /// 1 to 100 characters.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// Slug of the category that it is to be a part of, with all its products and parts; null moves
    /// it to the root.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    #[expect(clippy::option_option, reason = "absent, null and a slug are three things")]
    parent: Option<Option<String>>,
}

/// Lists every category.
#[utoipa::path(
    get, path = "/api/v1/categories", tag = "categories", operation_id = "categories",
    responses((status = 200, body = Page<Category>)),
)]
pub(super) async fn list(State(api): State<Api>) -> Result<axum::Json<Page<Category>>> {
    let items = db::categories(&mut *api.pool.acquire().await?).await?;
    Ok(axum::Json(Page { items, next_cursor: None }))
}

/// Shows a category.
#[utoipa::path(
    get, path = "/api/v1/categories/{slug}", tag = "categories", operation_id = "show_category",
    params(("slug" = String, Path)),
    responses(
        (status = 200, body = Category, headers(("ETag" = String, description = "Its version"))),
    ),
)]
pub(super) async fn show(
    State(api): State<Api>,
    Path(slug): Path<String>,
) -> Result<impl IntoResponse> {
    let found = db::category(&mut *api.pool.acquire().await?, &slug).await?;
    let category = found.ok_or_else(|| Problem::not_found("category"))?;
    Ok((etag(category.version), axum::Json(category)))
}

/// Makes a category.
#[utoipa::path(
    post, path = "/api/v1/categories", tag = "categories", operation_id = "create_category", request_body = NewCategory,
    responses(
        (status = 201, body = Category, headers(("ETag" = String, description = "Its version"), ("Location" = String))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(NewCategory { slug, name, parent }): Json<NewCategory>,
) -> Result<impl IntoResponse> {
    caller.require(Role::Admin)?;
    let category = Category { slug, name, parent, version: 1 };
    category.check()?;
    let mut connection = api.pool.acquire().await?;
    let Category { slug, name, parent, .. } = &category;
    let stored = db::insert_category(&mut connection, slug, name, parent.as_deref()).await;
    if !stored.map_err(refused)? {
        return Err(Problem::new(SLUG_TAKEN, "choose another slug for this category"));
    }
    let location = format!("/api/v1/categories/{slug}");
    let location = HeaderValue::try_from(location).map_err(Problem::internal)?;
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, etag(category.version), headers, axum::Json(category)))
}

/// Renames or moves a category.
#[utoipa::path(
    patch, path = "/api/v1/categories/{slug}", tag = "categories", operation_id = "change_category",
    params(("slug" = String, Path), ("If-Match" = String, Header, description = "The ETag that was read")),
    request_body = CategoryChange,
    responses(
        (status = 200, body = Category, headers(("ETag" = String, description = "Its version"))),
        (status = 403, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    version: IfMatch,
    Json(change): Json<CategoryChange>,
) -> Result<impl IntoResponse> {
    caller.require(Role::Admin)?;
    let mut tx = api.pool.begin().await?;
    let current = current(&mut tx, &slug, version).await?;
    let changed = Category {
        name: change.name.unwrap_or_else(|| current.name.clone()),
        parent: change.parent.unwrap_or_else(|| current.parent.clone()),
        ..current.clone()
    };
    if changed == current {
        return Ok((etag(current.version), axum::Json(current)));
    }
    changed.check()?;
    if let Some(parent) = &changed.parent
        && db::is_within(&mut tx, parent, &slug).await?
    {
        let detail = "a category is no part of itself, nor of what is a part of it";
        return Err(Problem::invalid_field("/parent", detail));
    }
    let stored = db::update_category(&mut tx, &changed).await.map_err(refused)?;
    tx.commit().await?;
    Ok((etag(stored.version), axum::Json(stored)))
}

/// Deletes a category that has neither products, on sale or not, nor parts.
#[utoipa::path(
    delete, path = "/api/v1/categories/{slug}", tag = "categories", operation_id = "remove_category",
    params(("slug" = String, Path), ("If-Match" = String, Header, description = "The ETag that was read")),
    responses(
        (status = 204),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    version: IfMatch,
) -> Result<StatusCode> {
    caller.require(Role::Admin)?;
    let mut tx = api.pool.begin().await?;
    current(&mut tx, &slug, version).await?;
    db::delete_category(&mut tx, &slug).await.map_err(refused)?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The category, which nobody else changes until the transaction ends, nor any other.
async fn current(
    connection: &mut PgConnection,
    slug: &str,
    IfMatch(version): IfMatch,
) -> Result<Category> {
    db::lock_categories(&mut *connection).await?;
    let current = db::category(connection, slug).await?;
    let current = current.ok_or_else(|| Problem::not_found("category"))?;
    if version != current.version {
        return Err(Problem::new(STALE, "read the category again"));
    }
    Ok(current)
}

fn refused(error: sqlx::Error) -> Problem {
    // The same rule is broken by a parent that is not there and by deleting one that is.
    let deleting = error
        .as_database_error()
        .is_some_and(|error| error.message().starts_with("update or delete"));
    match postgres::violated(&error) {
        Some("products_category_fkey") => {
            Problem::new(CONFLICT, "there are products in the category, on sale or not")
        }
        Some("categories_parent_fkey") if deleting => {
            Problem::new(CONFLICT, "other categories are parts of it")
        }
        Some("categories_parent_fkey") => {
            Problem::invalid_field("/parent", "there is no such category")
        }
        _ => error.into(),
    }
}
