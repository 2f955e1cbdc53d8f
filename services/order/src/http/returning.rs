//! Orders that come back: the shopper asks, staff take the goods or refuse them.

use std::sync::Arc;

use axum::extract::State;
use chrono::{TimeDelta, Utc};
use contracts::OrderId;
use kit::auth::{Caller, Role};
use kit::extract::{Json, Path};
use kit::problem::{Body, CONFLICT, FORBIDDEN, Fields, Problem, Result};

use super::{Api, visible};
use crate::db;
use crate::event::Event;
use crate::view::{AskReturn, OrderView, RefuseReturn};

/// How long after it has arrived an order can be sent back. The law of the EU gives shoppers 14 days to
/// say so and 14 more to send (directive 2011/83/EU, articles 9 and 14); this is a little more than both.
const WINDOW: TimeDelta = TimeDelta::days(30);
/// Longest reason, in characters.
const MAX_REASON: usize = 500;

/// Send an order back
///
/// For whoever ordered, within 30 days after it has arrived. The money goes back when the goods have come.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/return", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    request_body = AskReturn,
    responses(
        (status = 200, description = "The order, on its way back", body = OrderView),
        (status = "4XX", description = "Refused", body = Body, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn ask(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<OrderId>,
    Json(AskReturn { reason }): Json<AskReturn>,
) -> Result<axum::Json<OrderView>> {
    if let Some(reason) = &reason {
        check(reason)?;
    }
    let mut connection = api.pool.acquire().await?;
    let order = visible(db::find(&mut connection, id).await?, &caller)?;
    if order.user_id != caller.user_id {
        return Err(Problem::new(FORBIDDEN, "only whoever has ordered can send it back"));
    }
    let history = db::history(&mut connection, id).await?;
    drop(connection);
    let arrival = history.iter().find(|(event, _)| matches!(event, Event::Delivered {}));
    if arrival.is_some_and(|(_, at)| Utc::now() - *at > WINDOW) {
        let days = WINDOW.num_days();
        let late = format!("an order can be sent back for {days} days after it has arrived");
        return Err(Problem::new(CONFLICT, late));
    }
    api.change(id, &caller, |_| Event::ReturnRequested { reason }).await
}

/// Take back what an order's shopper has sent
///
/// For staff: the goods have come. They go into stock again, and the money goes back.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/return/receive", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    responses(
        (status = 200, description = "The order, being refunded", body = OrderView),
        (status = "4XX", description = "Refused", body = Body, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<OrderId>,
) -> Result<axum::Json<OrderView>> {
    caller.require(Role::Admin)?;
    api.change(id, &caller, |_| Event::ReturnReceived {}).await
}

/// Refuse a return
///
/// For staff. The order stays delivered, and its shopper sees why.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/return/refuse", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    request_body = RefuseReturn,
    responses(
        (status = 200, description = "The order, delivered", body = OrderView),
        (status = "4XX", description = "Refused", body = Body, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn refuse(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<OrderId>,
    Json(RefuseReturn { reason }): Json<RefuseReturn>,
) -> Result<axum::Json<OrderView>> {
    caller.require(Role::Admin)?;
    check(&reason)?;
    api.change(id, &caller, |_| Event::ReturnRefused { reason }).await
}

fn check(reason: &str) -> Result<()> {
    let mut fields = Fields::default();
    let fits = !reason.trim().is_empty() && reason.chars().count() <= MAX_REASON;
    fields.check(fits, "/reason", format!("1 to {MAX_REASON} characters"));
    fields.finish()
}
