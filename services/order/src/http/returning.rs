//! Orders that come back: the shopper asks, staff take the goods or refuse them.

use chrono::{TimeDelta, Utc};
use contracts::OrderId;
use kit::auth::Role;
use kit::extract::Json;
use kit::openapi::Refused;
use kit::problem::{CONFLICT, FORBIDDEN, Fields, Problem, Result};

use super::changing::{Asked, Changed};
use super::visible;
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
    responses((status = 200, description = "The order, on its way back", body = OrderView), Refused),
)]
pub(super) async fn ask(asked: Asked, Json(AskReturn { reason }): Json<AskReturn>) -> Changed {
    if let Some(reason) = &reason {
        check(reason)?;
    }
    let mut connection = asked.api.pool.acquire().await?;
    let order = visible(db::find(&mut connection, asked.id).await?, &asked.caller)?;
    if order.user_id != asked.caller.user_id {
        return Err(Problem::new(FORBIDDEN, "only whoever has ordered can send it back"));
    }
    let history = db::history(&mut connection, asked.id).await?;
    drop(connection);
    let arrival = history.iter().find(|past| matches!(past.event, Event::Delivered {}));
    if arrival.is_some_and(|past| Utc::now() - past.at > WINDOW) {
        let days = WINDOW.num_days();
        let late = format!("an order can be sent back for {days} days after it has arrived");
        return Err(Problem::new(CONFLICT, late));
    }
    asked.change(|_| Ok(Event::ReturnRequested { reason })).await
}

/// Take back what an order's shopper has sent
///
/// For staff: the goods have come. They go into stock again, and the money goes back.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/return/receive", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    responses((status = 200, description = "The order, being refunded", body = OrderView), Refused),
)]
pub(super) async fn receive(asked: Asked) -> Changed {
    asked.change_as_staff(Event::ReturnReceived {}).await
}

/// Refuse a return
///
/// For staff. The order stays delivered, and its shopper sees why.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/return/refuse", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    request_body = RefuseReturn,
    responses((status = 200, description = "The order, delivered", body = OrderView), Refused),
)]
pub(super) async fn refuse(
    asked: Asked,
    Json(RefuseReturn { reason }): Json<RefuseReturn>,
) -> Changed {
    asked.caller.require(Role::Admin)?;
    check(&reason)?;
    asked.change(|_| Ok(Event::ReturnRefused { reason })).await
}

fn check(reason: &str) -> Result<()> {
    let mut fields = Fields::default();
    let fits = !reason.trim().is_empty() && reason.chars().count() <= MAX_REASON;
    fields.check(fits, "/reason", format!("1 to {MAX_REASON} characters"));
    fields.take("/reason", contracts::text::lines(reason));
    fields.finish()
}
