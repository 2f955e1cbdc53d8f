//! Store credit.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use contracts::{Money, OrderId, UserId};
use http::StatusCode;
use kit::auth::{Caller, Role};
use kit::extract::{self, Path, Query};
use kit::idempotency::{Begun, IdempotencyKey, Request};
use kit::openapi::Refused;
use kit::page::PageQuery;
use kit::problem::{Fields, Problem, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use crate::db::ledger::{self, Cause};

/// Most that is granted at once, in minor units; more is a slip of the finger.
const MOST: i64 = 1_000_000_000;

/// What a customer has, and how it came to be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreditStatement)]
pub(super) struct Statement {
    /// What can be spent.
    balance: Money,
    /// The latest first.
    items: Vec<Entry>,
    /// Pass as `cursor` for the next page; null on the last one.
    next_cursor: Option<String>,
}

/// A change of a customer's balance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreditEntry)]
struct Entry {
    /// Id of the transaction.
    id: Uuid,
    /// `grant`, `charge` or `refund`.
    kind: String,
    /// Below zero: spent.
    amount: Money,
    /// The order that was paid, or whose money came back.
    order_id: Option<OrderId>,
    /// Why it was granted.
    reason: Option<String>,
    created_at: DateTime<Utc>,
}

/// Your store credit
///
/// Pay an order with it by the payment token `credit`.
#[utoipa::path(
    get, path = "/api/v1/credit", tag = "credit", params(PageQuery),
    responses(
        (status = 200, body = Statement),
        Refused,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Statement>> {
    let window = query.window()?;
    let mut connection = api.pool.acquire().await?;
    let (user, currency) = (caller.user_id, api.currency);
    let balance = ledger::balance(&mut connection, user, currency).await?;
    let rows = ledger::entries(&mut connection, user, currency, &window).await?;
    let page = window.page(rows, |row| row.id);
    let entry = |row: ledger::Entry| Entry {
        id: row.transaction_id,
        kind: row.kind,
        amount: Money::new(row.amount, currency),
        order_id: row.order_id.map(OrderId::from),
        reason: row.reason,
        created_at: row.created_at,
    };
    Ok(Json(Statement {
        balance: Money::new(balance, currency),
        items: page.items.into_iter().map(entry).collect(),
        next_cursor: page.next_cursor,
    }))
}

/// Credit to be given.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GrantCredit)]
pub(super) struct Grant {
    amount: Money,
    /// Why; the customer sees it.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Credit that was given.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreditGranted)]
pub(super) struct Granted {
    /// Id of the transaction.
    id: Uuid,
    user_id: UserId,
    amount: Money,
    /// What the customer has now.
    balance: Money,
}

/// Give a customer credit
///
/// For administrators, in the shop's currency.
#[utoipa::path(
    post, path = "/api/v1/credit/{user_id}/grants", tag = "credit",
    params(
        ("user_id" = UserId, Path),
        ("Idempotency-Key" = String, Header, description = "New for each new grant"),
    ),
    request_body = Grant,
    responses(
        (status = 201, description = "Given", body = Granted),
        Refused,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn grant(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(user_id): Path<UserId>,
    key: IdempotencyKey,
    extract::Json(body): extract::Json<Grant>,
) -> Result<Response> {
    caller.require(Role::Admin)?;
    let Grant { amount, reason } = &body;
    let (amount, reason) = (*amount, reason.trim());
    let mut fields = Fields::default();
    let acceptable = (1..=MOST).contains(&amount.amount);
    fields.check(acceptable, "/amount/amount", format!("must be from 1 to {MOST}"));
    let currency = api.currency;
    fields.check(amount.currency == currency, "/amount/currency", format!("must be {currency}"));
    let length = reason.chars().count();
    fields.check((1..=500).contains(&length), "/reason", "1 to 500 characters");
    fields.take("/reason", contracts::text::lines(reason));
    fields.finish()?;
    let operation = format!("POST /api/v1/credit/{user_id}/grants");
    let request = Request::new(caller.user_id, key, &operation, &body)?;
    let mut tx = match request.begin(&api.pool).await? {
        Begun::New(tx) => tx,
        Begun::Done(answer) => return Ok(answer),
    };
    let (id, cause) = (Uuid::now_v7(), Cause::Grant { reason, by: caller.user_id });
    if !ledger::post(&mut tx, id, user_id, amount, cause).await? {
        return Err(Problem::internal("a grant has made a balance negative"));
    }
    let balance = Money::new(ledger::balance(&mut tx, user_id, currency).await?, currency);
    request.finish(tx, StatusCode::CREATED, &Granted { id, user_id, amount, balance }).await
}
