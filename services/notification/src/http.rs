//! The HTTP API.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use contracts::EventId;
use kit::auth::{Caller, SocketCaller};
use kit::extract::Query;
use kit::page::{Page, PageQuery};
use kit::problem::{Body, Kind, Problem, Result, UNAUTHENTICATED, UNAVAILABLE};
use kit::worker::Wake;
use serde::Deserialize;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::db;
use crate::hub::Hub;
use crate::live::LiveEvent;
use crate::phone::destination::Countries;
use crate::socket::Session;
use crate::{phone, preferences};

/// The endpoint speaks WebSocket only.
pub const UPGRADE: Kind = Kind::new(426, "upgrade-required", "A WebSocket handshake is needed");

/// The protocol that is spoken. Browsers can set no header but this one, so the access token comes beside it.
const PROTOCOL: &str = "shop.live.v1";
/// Clients have nothing to say; what they say anyway must be short.
const CLIENT_MESSAGE_LIMIT: usize = 1 << 10;

/// What handlers need.
#[derive(Clone)]
pub struct State {
    /// Live events.
    pub pool: PgPool,
    /// Open sockets.
    pub hub: Hub,
    /// How many sockets this replica takes.
    pub max_sockets: usize,
    /// The countries that the shop sends short messages to; none: it sends none at all.
    pub sms: Option<Arc<Countries>>,
    /// Wakes the sender of short messages.
    pub wake: Wake,
    /// Cancelled when the service ends.
    pub stop: CancellationToken,
}

/// Every route.
pub fn routes() -> OpenApiRouter<State> {
    let document = kit::openapi::document("Notification", "What has become of a shopper's orders.");
    OpenApiRouter::with_openapi(document)
        .routes(routes!(live))
        .routes(routes!(list))
        .routes(routes!(preferences::get, preferences::set))
        .routes(routes!(phone::get_phone, phone::set_phone, phone::forget_phone))
        .routes(routes!(phone::verify_phone))
}

/// The document of every route.
pub fn openapi() -> OpenApi {
    routes().into_openapi()
}

/// How a socket begins.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LiveQuery {
    /// `id` of the last message that was received before; what came after it is told first.
    last_event_id: Option<EventId>,
}

/// Opens a WebSocket that sends each step of the caller's orders as one JSON text message
///
/// The access token comes in `Authorization`, or, from browsers, as a protocol beside `shop.live.v1`:
/// `new WebSocket(url, ["shop.live.v1", "bearer." + token])`. Never in the URL, which is logged on the way.
/// Closes with 4401 when the token expires and with 1001 when the server restarts: connect again, with
/// `last_event_id`. Closes the oldest of a user's sockets with 4429 when there are more than ten: do not connect it again.
#[utoipa::path(
    get, path = "/api/v1/live", tag = "live", security(("bearer" = [])),
    params(
        LiveQuery,
        ("Sec-WebSocket-Protocol" = Option<String>, Header, description = "`shop.live.v1, bearer.<access token>`"),
    ),
    responses(
        (status = 101, description = "Messages follow", body = LiveEvent),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 426, description = "upgrade-required", body = Body),
        (status = 503, description = "unavailable", body = Body),
    )
)]
async fn live(
    Shared(state): Shared<State>,
    SocketCaller(caller): SocketCaller,
    Query(query): Query<LiveQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    let caller = caller.ok_or_else(|| {
        let detail = "send an access token in Authorization or as the protocol bearer.<token>";
        Problem::new(UNAUTHENTICATED, detail)
    })?;
    let upgrade = upgrade.map_err(|rejection| Problem::new(UPGRADE, rejection.body_text()))?;
    if state.hub.len() >= state.max_sockets {
        return Err(Problem::new(UNAVAILABLE, "there are too many listeners here, connect again"));
    }
    // Before the answer, so that nothing is missed that happens after it.
    let seat = state.hub.seat(caller.user_id);
    let position = {
        let mut connection = state.pool.acquire().await?;
        db::position(&mut connection, caller.user_id, query.last_event_id).await?
    };
    let State { pool, stop, .. } = state;
    let session = Session { seat, position, expires_at: caller.expires_at, pool, stop };
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(CLIENT_MESSAGE_LIMIT);
    Ok(upgrade.on_upgrade(|socket| session.serve(socket)))
}

/// What has become of the caller's orders within the last 30 days, the newest first.
#[utoipa::path(
    get, path = "/api/v1/notifications", tag = "live", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, body = Page<LiveEvent>),
        (status = 401, description = "unauthenticated", body = Body),
    )
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<LiveEvent>>> {
    let window = query.window()?;
    let mut connection = state.pool.acquire().await?;
    let events = db::list(&mut connection, caller.user_id, &window).await?;
    let Page { items, next_cursor } = window.page(events, |(seq, _)| *seq);
    let items = items.into_iter().map(|(_, event)| event).collect();
    Ok(axum::Json(Page { items, next_cursor }))
}
