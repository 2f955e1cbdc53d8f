//! The HTTP API. What is charged comes from orders, never from a client.

mod credit;
mod methods;
mod refunds;
mod webhooks;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use contracts::{Currency, EventId, Money, OrderId, PaymentId, UserId};
use http::StatusCode;
use kit::auth::{Caller, Role};
use kit::extract::{Path, Query};
use kit::openapi;
use kit::outbox::Outbox;
use kit::page::{Page, PageQuery};
use kit::problem::{CONFLICT, Problem, Result};
use kit::worker::Wake;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::db;
use crate::payment::{RefundStatus, Status};
use crate::provider::Providers;
use crate::signature::Secrets;

/// What the handlers need.
pub(crate) struct Api {
    /// The database.
    pub(crate) pool: PgPool,
    /// Wakes the worker.
    pub(crate) wake: Wake,
    /// Where events of payments go.
    pub(crate) outbox: Outbox,
    /// Who moves money.
    pub(crate) providers: Providers,
    /// What the shop sells in.
    pub(crate) currency: Currency,
    /// What providers sign their webhooks with, by their names.
    pub(crate) webhooks: HashMap<&'static str, Secrets>,
}

fn api() -> OpenApiRouter<Arc<Api>> {
    let document = openapi::document(
        "Payment",
        "Charges and refunds of orders, store credit, means of payment that shoppers keep.",
    );
    OpenApiRouter::with_openapi(document)
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(confirm))
        .routes(routes!(refunds::request))
        .routes(routes!(credit::show))
        .routes(routes!(credit::grant))
        .routes(routes!(methods::list, methods::save))
        .routes(routes!(methods::remove))
        .routes(routes!(webhooks::receive))
}

/// The document of the API.
pub(crate) fn document() -> OpenApi {
    api().into_openapi()
}

/// The routes of the API.
pub(crate) fn router(state: Api) -> Router {
    api().with_state(Arc::new(state)).into()
}

/// The payment of an order.
#[derive(Debug, Serialize, ToSchema)]
struct Payment {
    id: PaymentId,
    order_id: OrderId,
    user_id: UserId,
    status: Status,
    amount: Money,
    /// Where the shopper does what the provider waits for.
    next_action: Option<NextAction>,
    /// What went back or is on its way back.
    refunded: Money,
    /// Who charges.
    provider: String,
    /// Why nothing was charged, e.g. `card_declined`.
    failure_reason: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Something that the shopper has to do before anything is charged.
#[derive(Debug, Serialize, ToSchema)]
struct NextAction {
    /// Where, e.g. at their bank. The provider `test` has no pages: it is satisfied when its shopper posts to this
    /// URL, which is that of the endpoint `confirm`.
    url: String,
}

impl TryFrom<db::Payment> for Payment {
    type Error = Problem;

    fn try_from(row: db::Payment) -> Result<Self> {
        let currency = row.currency.parse().map_err(Problem::internal)?;
        Ok(Self {
            id: row.id.into(),
            order_id: row.order_id.into(),
            user_id: row.user_id.into(),
            status: row.status,
            amount: Money::new(row.amount, currency),
            next_action: row.next_action.map(|url| NextAction { url }),
            refunded: Money::new(row.refunded, currency),
            provider: row.provider,
            failure_reason: row.failure_reason,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Money that goes back.
#[derive(Debug, Serialize, ToSchema)]
struct Refund {
    id: EventId,
    status: RefundStatus,
    amount: Money,
    /// Why staff gives it back; null: the order has ended.
    reason: Option<String>,
    /// Why nothing was given back.
    failure_reason: Option<String>,
    /// When a failed one is tried again; null: it has not failed, the money went back in another way, or its provider
    /// is not configured any more (`provider_not_configured`): it is tried when it is.
    retry_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// The payment of an order with its refunds.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentWithRefunds {
    #[serde(flatten)]
    payment: Payment,
    /// The oldest first.
    refunds: Vec<Refund>,
    /// What the shopper's bank wants back; the oldest first.
    disputes: Vec<Dispute>,
}

/// A charge that the shopper's bank wants back. Staff answers it where the provider says.
#[derive(Debug, Serialize, ToSchema)]
struct Dispute {
    /// The provider's name for it.
    reference: String,
    /// The bank's reason, e.g. `fraudulent`.
    reason: String,
    /// The provider's word for how far it has come, e.g. `needs_response`, `under_review`, `won` or `lost`.
    status: String,
    /// Until when it has to be answered.
    due_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<db::disputes::Dispute> for Dispute {
    fn from(row: db::disputes::Dispute) -> Self {
        let db::disputes::Dispute { reference, reason, status, due_at, created_at } = row;
        Self { reference, reason, status, due_at, created_at }
    }
}

/// Reads a payment with its refunds and disputes.
async fn full(connection: &mut PgConnection, row: db::Payment) -> Result<PaymentWithRefunds> {
    let payment = Payment::try_from(row)?;
    let rows = db::refunds(connection, payment.id.uuid()).await?;
    let refund = |row: db::Refund| Refund {
        id: row.id.into(),
        status: row.status,
        amount: Money::new(row.amount, payment.amount.currency),
        reason: row.reason,
        failure_reason: row.failure_reason,
        retry_at: row.retry_at,
        created_at: row.created_at,
    };
    let refunds = rows.into_iter().map(refund).collect();
    let disputes = db::disputes::of(connection, payment.id.uuid()).await?;
    let disputes = disputes.into_iter().map(Dispute::from).collect();
    Ok(PaymentWithRefunds { payment, refunds, disputes })
}

/// Shows the payment of an order to whoever pays, and to administrators.
#[utoipa::path(
    get, path = "/api/v1/payments/{order_id}", tag = "payments",
    params(("order_id" = OrderId, Path)),
    responses(
        (status = 200, body = PaymentWithRefunds),
        (status = 404, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(order): Path<OrderId>,
) -> Result<Json<PaymentWithRefunds>> {
    let mut connection = api.pool.acquire().await?;
    let row = db::find(&mut connection, order)
        .await?
        .filter(|row| row.user_id == caller.user_id.uuid() || caller.has(Role::Admin))
        .ok_or_else(|| Problem::not_found("payment"))?;
    full(&mut connection, row).await.map(Json)
}

/// Goes on with a charge that waits for the shopper
///
/// Call it when what `next_action` asks for is done, then follow the payment: it is captured or fails, or
/// waits on if the provider is not satisfied. Calling it again does no harm.
#[utoipa::path(
    post, path = "/api/v1/payments/{order_id}/confirm", tag = "payments",
    params(("order_id" = OrderId, Path)),
    responses(
        (status = 202, description = "The provider is asked", body = PaymentWithRefunds),
        (status = "4XX", description = "Refused", body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
async fn confirm(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(order): Path<OrderId>,
) -> Result<(StatusCode, Json<PaymentWithRefunds>)> {
    let mut connection = api.pool.acquire().await?;
    let row = db::find(&mut connection, order)
        .await?
        .filter(|row| row.user_id == caller.user_id.uuid())
        .ok_or_else(|| Problem::not_found("payment"))?;
    match row.status {
        Status::RequiresAction => {
            if db::confirm(&mut connection, order).await? {
                api.wake.wake();
            }
        }
        Status::Captured => {}
        Status::Pending => return Err(Problem::new(CONFLICT, "the provider has not answered yet")),
        Status::Failed => return Err(Problem::new(CONFLICT, "nothing is charged any more")),
    }
    Ok((StatusCode::ACCEPTED, Json(full(&mut connection, row).await?)))
}

/// Which payments to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those with a refund that has failed while not all has gone back: somebody has to see to them.
    #[serde(default)]
    refund_failed: bool,
    /// Only those that the shopper's bank wants back, until that is decided.
    #[serde(default)]
    disputed: bool,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many, 1 to 100; 20 by default.
    limit: Option<u32>,
    /// Number of the page, from 1, for people who type; `cursor` is faster and exact.
    page: Option<u32>,
}

/// Lists payments, the latest first, for administrators.
#[utoipa::path(
    get, path = "/api/v1/payments", tag = "payments", params(ListQuery),
    responses(
        (status = 200, body = Page<Payment>),
        (status = 403, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Payment>>> {
    caller.require(Role::Admin)?;
    let ListQuery { refund_failed, disputed, cursor, limit, page } = query;
    let window = PageQuery { cursor, limit, page }.window()?;
    let which = (refund_failed, disputed);
    let rows = db::list(&mut *api.pool.acquire().await?, which, &window).await?;
    let payments = rows.into_iter().map(Payment::try_from).collect::<Result<_>>()?;
    Ok(Json(window.page(payments, |payment: &Payment| payment.id.uuid())))
}
