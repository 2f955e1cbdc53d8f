//! The HTTP API: what shoppers read here, what they place in [`placing`], what then happens to it in [`changing`],
//! what comes back in [`returning`], what staff look for in [`searching`].

mod changing;
pub mod placing;
mod returning;
mod searching;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use contracts::{Currency, OrderId};
use kit::auth::{Caller, Role};
use kit::extract::{Path, Query};
use kit::openapi::Refused;
use kit::page::{Page, PageQuery};
use kit::problem::{Problem, Result};
use kit::turns::Turns;
use sqlx::PgPool;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cache::Cache;
use crate::db;
use crate::guards::Limits;
use crate::order::Order;
use crate::peers::{Carts, Catalog};
use crate::providers::Providers;
use crate::saga::Saga;
use crate::view::{HistoryEntry, OrderView, entries};

/// What the handlers need.
pub struct Api {
    /// The database.
    pub pool: PgPool,
    /// Takes the steps of orders.
    pub saga: Saga,
    /// Remembers what shoppers look at.
    pub cache: Cache,
    /// Says what things cost.
    pub catalog: Catalog,
    /// Says what shoppers want.
    pub carts: Carts,
    /// What the shop sells in.
    pub currency: Currency,
    /// How long an order may stay unpaid.
    pub expiry: Duration,
    /// Who charges.
    pub providers: Providers,
    /// What an account may hold.
    pub limits: Limits,
    /// Requests of one account wait for each other before they take a connection: they would wait in the database anyway, and
    /// must not hold every connection.
    pub turns: Turns,
}

/// All routes.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    let document = kit::openapi::document("order", "Orders, from placing to delivery.");
    OpenApiRouter::with_openapi(document)
        .routes(routes!(placing::place, list))
        .routes(routes!(searching::search))
        .routes(routes!(read))
        .routes(routes!(history))
        .routes(routes!(changing::cancel))
        .routes(routes!(changing::ship))
        .routes(routes!(changing::deliver))
        .routes(routes!(returning::ask))
        .routes(routes!(returning::receive))
        .routes(routes!(returning::refuse))
}

/// List your orders
///
/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/orders", tag = "orders", security(("bearer" = [])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page", body = Page<OrderView>),
        Refused,
    ),
)]
async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<OrderView>>> {
    let window = query.window::<OrderId>()?;
    let orders = if let Some(held) = api.cache.page(&api.pool, caller.user_id, &window).await? {
        held.to_vec()
    } else {
        let mut connection = api.pool.acquire().await?;
        let orders = db::list(&mut connection, caller.user_id, &window).await?;
        orders.into_iter().map(OrderView::from).collect()
    };
    Ok(axum::Json(window.page(orders, |order| order.id)))
}

/// Read an order
///
/// Your own; staff read every order.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    responses(
        (status = 200, description = "The order", body = OrderView),
        Refused,
    ),
)]
async fn read(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<OrderId>,
) -> Result<axum::Json<OrderView>> {
    let mut connection = api.pool.acquire().await?;
    let order = visible(db::find(&mut connection, id).await?, &caller)?;
    Ok(axum::Json(order.into()))
}

/// Read an order's history
///
/// Every event, oldest first, with what the order was afterwards. Staff also see who made it happen, and how many units
/// there were of what was short.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}/history", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    responses(
        (status = 200, description = "The events", body = Vec<HistoryEntry>),
        Refused,
    ),
)]
async fn history(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<OrderId>,
) -> Result<axum::Json<Vec<HistoryEntry>>> {
    let mut connection = api.pool.acquire().await?;
    visible(db::find(&mut connection, id).await?, &caller)?;
    let history = db::history(&mut connection, id).await?;
    let entries = entries(&history, caller.has(Role::Admin));
    entries.map(axum::Json).map_err(Problem::internal)
}

/// The order, if the caller may know of it; others' orders look as if they did not exist.
fn visible(order: Option<Order>, caller: &Caller) -> Result<Order> {
    order
        .filter(|order| order.user_id == caller.user_id || caller.has(Role::Admin))
        .ok_or_else(|| Problem::not_found("order"))
}
