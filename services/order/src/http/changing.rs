//! What happens to an order: its shopper gives it up, staff send it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use contracts::OrderId;
use contracts::events::CancelReason;
use http::request::Parts;
use kit::auth::{Caller, Role};
use kit::extract::Path;
use kit::openapi::Refused;
use kit::problem::{CONFLICT, Problem, Result};
use sqlx::PgTransaction;

use super::{Api, visible};
use crate::db;
use crate::event::{Cause, Event};
use crate::order::Order;
use crate::view::OrderView;

/// The order after what has happened to it.
pub(super) type Changed = Result<axum::Json<OrderView>>;

/// An order, and who wants something to happen to it.
pub(super) struct Asked {
    pub(super) api: Arc<Api>,
    pub(super) caller: Caller,
    pub(super) id: OrderId,
}

impl FromRequestParts<Arc<Api>> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self> {
        let caller = <Caller as FromRequestParts<_>>::from_request_parts(parts, api).await?;
        let Path(id) = Path::from_request_parts(parts, api).await?;
        Ok(Self { api: Arc::clone(api), caller, id })
    }
}

impl Asked {
    /// Lets an event happen, if the caller may see the order.
    pub(super) async fn change(
        self,
        event: impl FnOnce(&Order) -> Result<Event> + Send,
    ) -> Changed {
        let (tx, order) = self.lock().await?;
        let event = event(&order)?;
        self.commit(tx, order, &event).await
    }

    /// The order, locked, if the caller may see it.
    async fn lock(&self) -> Result<(PgTransaction<'static>, Order)> {
        let mut tx = self.api.pool.begin().await?;
        let order = visible(db::lock(&mut tx, self.id).await?, &self.caller)?;
        Ok((tx, order))
    }

    /// Lets an event happen to the locked order.
    async fn commit(self, mut tx: PgTransaction<'static>, order: Order, event: &Event) -> Changed {
        let Self { api, caller, .. } = self;
        let cause = Cause::caller(caller.user_id, order.user_id);
        let changed = api.saga.advance(&mut tx, Some(&order), event, cause).await?;
        tx.commit().await?;
        api.saga.committed(order.user_id);
        Ok(axum::Json(changed.unwrap_or(order).into()))
    }

    /// Lets an event happen that is for staff alone.
    pub(super) async fn change_as_staff(self, event: Event) -> Changed {
        self.caller.require(Role::Admin)?;
        self.change(|_| Ok(event)).await
    }
}

/// Cancel an order
///
/// Possible until it is shipped. What was held for it is for sale again. One that is paid is `cancelling` until its
/// money has gone back and its goods are in stock again.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/cancel", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    responses((status = 200, description = "The order, cancelled or about to be", body = OrderView), Refused),
)]
pub(super) async fn cancel(asked: Asked) -> Changed {
    let who = asked.caller.user_id;
    let event = |order: &Order| {
        let own = order.user_id == who;
        let by = if own { CancelReason::ByCustomer } else { CancelReason::ByStaff };
        Ok(order.cancellation(by))
    };
    asked.change(event).await
}

/// Note that an order has left
///
/// For staff. An order whose money went back in full, or is about to, is not shipped.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/ship", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    responses((status = 200, description = "The order, shipped", body = OrderView), Refused),
)]
pub(super) async fn ship(asked: Asked) -> Changed {
    asked.caller.require(Role::Admin)?;
    let (mut tx, order) = asked.lock().await?;
    let requested = db::requested_refund(&mut tx, &order).await?;
    let event = order.shipment(requested);
    let event = event.map_err(|refunded| Problem::new(CONFLICT, refunded.to_string()))?;
    asked.commit(tx, order, &event).await
}

/// Note that an order has arrived
///
/// For staff.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/deliver", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    responses((status = 200, description = "The order, delivered", body = OrderView), Refused),
)]
pub(super) async fn deliver(asked: Asked) -> Changed {
    asked.change_as_staff(Event::Delivered {}).await
}
