//! Orders in Postgres: their events, and what these add up to.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::events::{OrderLine, OrderSource};
use contracts::{Currency, EventId, Money, OrderId, ProductId, UserId};
use kit::page::Window;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::event::{Actor, ActorKind, Cause, Event, Fulfilment, Past, Payment, Reason, State};
use crate::order::Order;
use crate::token::TokenError;

struct Row {
    id: Uuid,
    user_id: Uuid,
    state: State,
    payment: Payment,
    fulfilment: Fulfilment,
    reason: Option<Reason>,
    reason_detail: Option<String>,
    total: i64,
    refunded: i64,
    currency: String,
    lines: Json<Vec<OrderLine>>,
    payment_token: String,
    payment_id: Option<Uuid>,
    expires_at: DateTime<Utc>,
    source: Option<Json<OrderSource>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Order {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let currency: Currency = row.currency.parse().map_err(decode)?;
        Ok(Self {
            id: row.id.into(),
            user_id: row.user_id.into(),
            state: row.state,
            payment: row.payment,
            fulfilment: row.fulfilment,
            reason: row.reason,
            reason_detail: row.reason_detail,
            lines: row.lines.0,
            total: Money::new(row.total, currency),
            refunded: Money::new(row.refunded, currency),
            payment_token: row.payment_token.parse().map_err(|error: TokenError| decode(error))?,
            payment_id: row.payment_id.map(Into::into),
            expires_at: row.expires_at,
            source: row.source.map(|source| source.0),
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// `SELECT` of whole orders; what follows is the rest of the statement and its arguments.
macro_rules! select_orders {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT id, user_id, state AS "state: State", payment AS "payment: Payment",
                   fulfilment AS "fulfilment: Fulfilment", reason AS "reason: Reason",
                   reason_detail, total, refunded, currency, lines AS "lines: Json<Vec<OrderLine>>",
                   payment_token, payment_id, expires_at, source AS "source: Json<OrderSource>",
                   version, created_at, updated_at
               FROM orders "# + $rest,
            $($argument),+
        )
    };
}

// Above those that use its macro.
#[macro_use]
mod units;
mod guards;
mod networks;
mod rebuild;
mod requested_refunds;
// Below the macro, which they use.
mod owed;
mod search;
mod second_steps;
mod version;

pub use guards::{hold_cart, holder_of_cart, leave_cart, lock_account, open_orders};
pub use networks::{forget_networks, record_network, unconfirmed_of};
pub use owed::{Overdue, Owed, lock_owed, overdue, owed, record_request};
pub use rebuild::{Stored, batch, histories, lock_rebuild, lock_rows, remove};
pub use requested_refunds::{forget_requested_refund, record_requested_refund, requested_refund};
pub use search::search;
pub use second_steps::{
    begin_second_step, end_waiting, forget_second_steps, left_unpaid_by, lock_unconfirmed,
};
pub use version::{settled, transaction};

/// An order.
pub async fn find(
    connection: &mut PgConnection,
    id: OrderId,
) -> Result<Option<Order>, sqlx::Error> {
    let row = select_orders!("WHERE id = $1", id.uuid()).fetch_optional(connection).await?;
    row.map(Order::try_from).transpose()
}

/// An order that nobody else can change until the transaction ends.
pub async fn lock(
    connection: &mut PgConnection,
    id: OrderId,
) -> Result<Option<Order>, sqlx::Error> {
    let row =
        select_orders!("WHERE id = $1 FOR UPDATE", id.uuid()).fetch_optional(connection).await?;
    row.map(Order::try_from).transpose()
}

/// Locks open orders whose time is over, those first that have waited longest; skips those that
/// another transaction has locked.
pub async fn lock_overdue(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<Order>, sqlx::Error> {
    let rows = select_orders!(
        "WHERE state IN ('pending', 'reserved') AND expires_at <= now()
         ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED",
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Order::try_from).collect()
}

/// Locks open orders that have more than twice the time that orders have: the database's clock, by which they were placed,
/// was set back. Skips those that another transaction has locked.
pub async fn lock_misdated(
    connection: &mut PgConnection,
    expiry: Duration,
    limit: i64,
) -> Result<Vec<Order>, sqlx::Error> {
    let rows = select_orders!(
        "WHERE state IN ('pending', 'reserved') AND expires_at > now() + 2 * make_interval(secs => $1)
         LIMIT $2 FOR UPDATE SKIP LOCKED",
        expiry.as_secs_f64(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Order::try_from).collect()
}

/// A user's orders, newest first.
pub async fn list(
    connection: &mut PgConnection,
    user: UserId,
    window: &Window<OrderId>,
) -> Result<Vec<Order>, sqlx::Error> {
    let rows = select_orders!(
        "WHERE user_id = $1 AND ($2::uuid IS NULL OR id < $2)
         ORDER BY id DESC OFFSET $3 LIMIT $4",
        user.uuid(),
        window.after.map(OrderId::uuid),
        window.offset,
        window.fetch(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Order::try_from).collect()
}

/// Appends an event; `order` is what the history adds up to with it. Returns the number of the
/// transaction.
pub async fn append(
    connection: &mut PgConnection,
    order: &Order,
    event: &Event,
    cause: Cause,
) -> Result<i64, sqlx::Error> {
    let encoded = serde_json::to_value(event).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query_scalar!(
        r#"INSERT INTO order_events
             (order_id, seq, type, payload, event_id, created_at, actor_kind, actor_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         RETURNING pg_current_xact_id()::text::bigint AS "number!""#,
        order.id.uuid(),
        order.version,
        event.name(),
        encoded.get("payload").unwrap_or(&Value::Null),
        cause.event.map(EventId::uuid),
        order.updated_at,
        cause.actor.kind as ActorKind,
        cause.actor.id.map(UserId::uuid),
    )
    .fetch_one(connection)
    .await
}

/// Writes the read model of an order as its events have made it; returns whether it was different.
pub async fn store(connection: &mut PgConnection, order: &Order) -> Result<bool, sqlx::Error> {
    let stored = sqlx::query!(
        "INSERT INTO orders (id, user_id, state, payment, fulfilment, reason, reason_detail, total,
             currency, lines, payment_token, payment_id, expires_at, version, created_at, updated_at,
             refunded, source)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, state = excluded.state,
             payment = excluded.payment, fulfilment = excluded.fulfilment,
             reason = excluded.reason, reason_detail = excluded.reason_detail,
             total = excluded.total, currency = excluded.currency, lines = excluded.lines,
             payment_token = excluded.payment_token, payment_id = excluded.payment_id,
             expires_at = excluded.expires_at, version = excluded.version,
             created_at = excluded.created_at, updated_at = excluded.updated_at,
             refunded = excluded.refunded, source = excluded.source
         WHERE (orders.*) IS DISTINCT FROM (excluded.*)",
        order.id.uuid(),
        order.user_id.uuid(),
        order.state as State,
        order.payment as Payment,
        order.fulfilment as Fulfilment,
        order.reason as Option<Reason>,
        order.reason_detail,
        order.total.amount,
        order.total.currency.as_str(),
        Json(&order.lines) as _,
        order.payment_token.expose(),
        order.payment_id.map(contracts::PaymentId::uuid),
        order.expires_at,
        order.version,
        order.created_at,
        order.updated_at,
        order.refunded.amount,
        order.source.as_ref().map(Json) as _,
    )
    .execute(connection)
    .await?;
    Ok(stored.rows_affected() > 0)
}

/// An order's events, oldest first.
pub async fn history(connection: &mut PgConnection, id: OrderId) -> Result<Vec<Past>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT type, payload, created_at, actor_kind AS "actor_kind: ActorKind", actor_id
           FROM order_events WHERE order_id = $1 ORDER BY seq"#,
        id.uuid(),
    )
    .fetch_all(connection)
    .await?;
    let past = rows.into_iter().map(|row| {
        let actor = row.actor_kind.map(|kind| Actor { kind, id: row.actor_id.map(Into::into) });
        Ok(Past { event: event(&row.r#type, &row.payload)?, at: row.created_at, actor })
    });
    past.collect()
}

/// An event as it was appended.
fn event(name: &str, payload: &Value) -> Result<Event, sqlx::Error> {
    serde_json::from_value(json!({ "type": name, "payload": payload })).map_err(decode)
}

/// Whether an order of this user with this product was delivered, whatever became of it then.
pub async fn has_received(
    connection: &mut PgConnection,
    user: UserId,
    product: ProductId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM orders WHERE user_id = $1 AND state IN ('delivered', 'returning', 'returned')
                   AND lines @> $2
           ) AS "received!""#,
        user.uuid(),
        json!([{ "product_id": product }]),
    )
    .fetch_one(connection)
    .await
}
