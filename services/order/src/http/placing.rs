//! Placing orders.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::SubsecRound;
use contracts::events::OrderSource;
use contracts::{OrderId, is_public};
use http::{HeaderMap, StatusCode};
use kit::auth::Caller;
use kit::extract::{ClientNetwork, Json};
use kit::idempotency::{Begun, IdempotencyKey, Request};
use kit::openapi::Refused;
use kit::problem::{Body, Problem, Result};
use sqlx::PgConnection;

use super::Api;
use crate::checkout::Wanted;
use crate::db;
use crate::event::{Cause, Event, Placed};
use crate::guards::{self, Holdings};
use crate::view::{OrderView, PlaceOrder};

/// Place an order
///
/// Takes the listed items, or the caller's cart when there are none. Prices are those of the
/// catalog at this moment. The answer says that the order was taken; follow it by its id.
///
/// `cart_version` and `expected_total` are what the shopper has seen; with something else nothing is ordered. A cart
/// is ordered once: again when its lines have changed, or when the order has ended unpaid. An account has few orders
/// at a time that are neither paid nor ended. One without a verified e-mail address holds fewer units, its orders that
/// ended while their payment waited for a second step count for an hour, it lets at most 20 orders an hour end unpaid,
/// and of such accounts one network has few
/// orders whose payment has waited for more than a minute for a second step.
#[utoipa::path(
    post, path = "/api/v1/orders", tag = "orders", security(("bearer" = [])),
    params(("Idempotency-Key" = String, Header, description = "New for each new order")),
    request_body = PlaceOrder,
    responses(
        (status = 202, description = "Taken", body = OrderView),
        (
            status = 409,
            description = "total-changed, order-open, too-many-open-orders, too-many-unconfirmed-orders, \
                idempotency-key-in-flight",
            body = Body,
        ),
        (status = 412, description = "cart-changed", body = Body),
        Refused,
    ),
)]
pub(super) async fn place(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IdempotencyKey,
    ClientNetwork(network): ClientNetwork,
    headers: HeaderMap,
    Json(body): Json<PlaceOrder>,
) -> Result<Response> {
    let request = Request::new(caller.user_id, key, "POST /api/v1/orders", &body)?;
    if let Some(answer) = request.answered(&api.pool).await? {
        return Ok(answer);
    }
    let payment_token = api.providers.token(body.payment_token)?;
    let (items, source) = match body.items {
        Some(items) => (items, OrderSource::Items),
        None => api.cart(&caller, &headers).await?,
    };
    guards::expect_cart(body.cart_version, &source)?;
    let wanted = Wanted::new(&items)?;
    let offers = api.catalog.offers(wanted.products()).await?;
    let (lines, total) = wanted.priced(&offers, api.currency)?;
    guards::expect_total(body.expected_total, total)?;
    let turn = api.turns.take(caller.user_id).await;
    let mut tx = match request.begin(&api.pool).await? {
        Begun::New(tx) => tx,
        Begun::Done(answer) => return Ok(answer),
    };
    let (order_id, user_id) = (OrderId::new(), caller.user_id);
    let now = db::lock_account(&mut tx, user_id).await?;
    hold(&mut tx, &source, order_id).await?;
    let units = lines.iter().map(|line| i64::from(line.quantity)).sum();
    guards::expect_room(&holdings(&mut tx, &caller).await?, units, api.limits)?;
    let network = counted_network(&caller, network);
    if let Some(network) = network {
        let waiting = db::unconfirmed_of(&mut tx, network, guards::UNCONFIRMED_AFTER).await?;
        guards::expect_network_room(&waiting, units, api.limits)?;
    }
    let event = Event::Placed(Box::new(Placed {
        order_id,
        user_id,
        lines,
        total,
        payment_token,
        expires_at: (now + api.expiry).trunc_subsecs(6),
        source: Some(source),
    }));
    let cause = Cause::caller(user_id, user_id);
    let order = api.saga.advance(&mut tx, None, &event, cause).await?;
    let order = order.ok_or_else(|| Problem::internal("a new order was not new"))?;
    if let Some(network) = network {
        db::record_network(&mut tx, order_id, network).await?;
    }
    let answer = request.finish(tx, StatusCode::ACCEPTED, &OrderView::from(order)).await?;
    drop(turn);
    api.saga.committed(user_id);
    Ok(answer)
}

/// What the caller's account holds.
async fn holdings(tx: &mut PgConnection, caller: &Caller) -> Result<Holdings> {
    let open = db::open_orders(tx, caller.user_id).await?;
    let left_unpaid = if caller.is_unverified() {
        Some(db::left_unpaid_by(tx, caller.user_id, guards::LEFT_UNPAID_COUNTS_FOR).await?)
    } else {
        None
    };
    Ok(Holdings { open, left_unpaid })
}

/// The network that a caller's orders count against: none for accounts that are verified, or not known to be otherwise.
/// A private address is that of a proxy, behind which everyone is.
fn counted_network(caller: &Caller, network: Option<IpAddr>) -> Option<IpAddr> {
    network.filter(|network| caller.is_unverified() && is_public(*network))
}

impl Api {
    /// What is in the caller's cart.
    async fn cart(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<(Vec<crate::checkout::Item>, OrderSource)> {
        let (items, version) = self.carts.contents(headers).await?;
        Ok((items, OrderSource::Cart { id: caller.user_id.to_string(), version }))
    }
}

/// Makes an order the one that its cart is ordered by. Wants the account's lock, or two would find the cart free.
async fn hold(tx: &mut PgConnection, source: &OrderSource, order: OrderId) -> Result<()> {
    // A cart without a version was read by an older release of its service.
    let OrderSource::Cart { id, version: Some(version) } = source else { return Ok(()) };
    guards::expect_free(db::holder_of_cart(tx, id).await?, *version)?;
    Ok(db::hold_cart(tx, id, *version, order).await?)
}
