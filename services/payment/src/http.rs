//! The HTTP API. It only shows: what is charged comes from orders, never from a client.

use axum::extract::State;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use contracts::{EventId, Money, OrderId, PaymentId, UserId};
use kit::auth::{Caller, Role};
use kit::extract::{Path, Query};
use kit::openapi;
use kit::page::{Page, PageQuery};
use kit::problem::{Problem, Result};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::db;
use crate::payment::{RefundStatus, Status};

fn api() -> OpenApiRouter<PgPool> {
    let document = openapi::document("Payment", "Charges and refunds of orders.");
    OpenApiRouter::with_openapi(document).routes(routes!(list)).routes(routes!(show))
}

/// The document of the API.
pub(crate) fn document() -> OpenApi {
    api().into_openapi()
}

/// The routes of the API.
pub(crate) fn router(pool: PgPool) -> Router {
    api().with_state(pool).into()
}

/// The payment of an order.
#[derive(Debug, Serialize, ToSchema)]
struct Payment {
    id: PaymentId,
    order_id: OrderId,
    user_id: UserId,
    status: Status,
    amount: Money,
    /// What went back or is on its way back.
    refunded: Money,
    /// Who charges.
    provider: String,
    /// Why nothing was charged, e.g. `card_declined`.
    failure_reason: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
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
    /// Why nothing was given back.
    failure_reason: Option<String>,
    created_at: DateTime<Utc>,
}

/// The payment of an order with its refunds.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentWithRefunds {
    #[serde(flatten)]
    payment: Payment,
    /// The oldest first.
    refunds: Vec<Refund>,
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
    State(pool): State<PgPool>,
    caller: Caller,
    Path(order): Path<OrderId>,
) -> Result<Json<PaymentWithRefunds>> {
    let mut connection = pool.acquire().await?;
    let row = db::find(&mut connection, order)
        .await?
        .filter(|row| row.user_id == caller.user_id.uuid() || caller.has(Role::Admin))
        .ok_or_else(|| Problem::not_found("payment"))?;
    let payment = Payment::try_from(row)?;
    let rows = db::refunds(&mut connection, payment.id.uuid()).await?;
    let refund = |row: db::Refund| Refund {
        id: row.id.into(),
        status: row.status,
        amount: Money::new(row.amount, payment.amount.currency),
        failure_reason: row.failure_reason,
        created_at: row.created_at,
    };
    let refunds = rows.into_iter().map(refund).collect();
    Ok(Json(PaymentWithRefunds { payment, refunds }))
}

/// Lists payments, the latest first, for administrators.
#[utoipa::path(
    get, path = "/api/v1/payments", tag = "payments", params(PageQuery),
    responses(
        (status = 200, body = Page<Payment>),
        (status = 403, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
async fn list(
    State(pool): State<PgPool>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Payment>>> {
    caller.require(Role::Admin)?;
    let window = query.window()?;
    let rows = db::list(&mut *pool.acquire().await?, &window).await?;
    let payments = rows.into_iter().map(Payment::try_from).collect::<Result<_>>()?;
    Ok(Json(window.page(payments, |payment: &Payment| payment.id.uuid())))
}
