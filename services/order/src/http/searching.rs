//! What staff look for among all orders.

use std::sync::Arc;

use axum::extract::State as Shared;
use chrono::{DateTime, Utc};
use contracts::{OrderId, ProductId, Sku, UserId};
use kit::auth::{Caller, Role};
use kit::extract::Query;
use kit::openapi::Refused;
use kit::page::{Page, PageQuery};
use kit::problem::Result;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use crate::db;
use crate::event::State;
use crate::search::Filter;
use crate::view::OrderView;

/// Which orders to look for, and which page of them. All that is asked for must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// How far they have come.
    status: Option<State>,
    /// Whose they are.
    user_id: Option<UserId>,
    /// A product that is in one of their lines.
    product_id: Option<ProductId>,
    /// A SKU that is in one of their lines; with `product_id`, in the same line.
    sku: Option<Sku>,
    /// Placed at this time or later.
    #[serde(default, deserialize_with = "kit::query_time::optional")]
    placed_from: Option<DateTime<Utc>>,
    /// Placed before this time.
    #[serde(default, deserialize_with = "kit::query_time::optional")]
    placed_before: Option<DateTime<Utc>>,
    /// Smallest total, in minor units.
    total_min: Option<i64>,
    /// Largest total, in minor units.
    total_max: Option<i64>,
    /// `next_cursor` of the page before, with everything else unchanged.
    cursor: Option<String>,
    /// How many, 1 to 100; 20 by default.
    limit: Option<u32>,
    /// Number of the page, from 1, for people who type; `cursor` is faster and exact.
    page: Option<u32>,
}

impl SearchQuery {
    fn split(self) -> (Filter, PageQuery) {
        let filter = Filter {
            state: self.status,
            user: self.user_id,
            product: self.product_id,
            sku: self.sku,
            placed_from: self.placed_from,
            placed_before: self.placed_before,
            total_min: self.total_min,
            total_max: self.total_max,
        };
        (filter, PageQuery { cursor: self.cursor, limit: self.limit, page: self.page })
    }
}

/// Search all orders
///
/// Newest first. For staff.
#[utoipa::path(
    get, path = "/api/v1/orders/search", tag = "orders", security(("bearer" = [])),
    params(SearchQuery),
    responses(
        (status = 200, description = "A page", body = Page<OrderView>),
        Refused,
    ),
)]
pub(super) async fn search(
    Shared(api): Shared<Arc<Api>>,
    caller: Caller,
    Query(query): Query<SearchQuery>,
) -> Result<axum::Json<Page<OrderView>>> {
    caller.require(Role::Admin)?;
    let (filter, page) = query.split();
    filter.check()?;
    let window = page.window::<OrderId>()?;
    let mut tx = api.pool.begin().await?;
    let orders = db::search(&mut tx, &filter, &window).await?;
    let orders = orders.into_iter().map(OrderView::from).collect();
    Ok(axum::Json(window.page(orders, |order| order.id)))
}
