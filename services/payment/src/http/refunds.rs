//! Money that staff gives back.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::{SubsecRound, Utc};
use contracts::events::{PaymentRefundRequested, PaymentRefunded};
use contracts::{EventId, Money, OrderId};
use http::StatusCode;
use kit::auth::{Caller, Role};
use kit::extract::{Json, Path};
use kit::idempotency::{Begun, IdempotencyKey, Request};
use kit::openapi::Refused;
use kit::problem::{CONFLICT, Fields, Kind, Problem, Result};
use kit::telemetry::traceparent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, Refund};
use crate::db::{self, Asked};
use crate::payment::{RefundStatus, Status};

/// More than is left of what was captured.
pub(crate) const TOO_LARGE: Kind =
    Kind::new(422, "refund-too-large", "The payment has not so much left to give back");

/// Longest reason, in characters.
const REASON: usize = 500;

/// A refund to be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestRefund {
    /// What to give back: all that is left, or a part.
    amount: Money,
    /// Why; the shopper sees it.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// The money has gone back by other means, such as a bank transfer: the provider is not asked. It is taken off
    /// what is owed after refunds that have failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    by_other_means: bool,
}

impl RequestRefund {
    fn check(&self) -> Result<()> {
        let mut fields = Fields::default();
        fields.check(self.amount.amount > 0, "/amount/amount", "must be above zero");
        let length = self.reason.trim().chars().count();
        fields.check((1..=REASON).contains(&length), "/reason", "1 to 500 characters");
        fields.take("/reason", contracts::text::lines(&self.reason));
        fields.finish()
    }
}

/// Give money back
///
/// For administrators. The refund is taken and done soon after; follow it at the payment. Refunds of a payment,
/// under way, owed or done, never exceed what was captured. One that fails is owed, and tried again by itself.
#[utoipa::path(
    post, path = "/api/v1/payments/{order_id}/refunds", tag = "payments",
    params(
        ("order_id" = OrderId, Path),
        ("Idempotency-Key" = String, Header, description = "New for each new refund"),
    ),
    request_body = RequestRefund,
    responses(
        (status = 202, description = "Taken", body = Refund),
        Refused,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn request(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(order): Path<OrderId>,
    key: IdempotencyKey,
    Json(body): Json<RequestRefund>,
) -> Result<Response> {
    caller.require(Role::Admin)?;
    body.check()?;
    let operation = format!("POST /api/v1/payments/{order}/refunds");
    let request = Request::new(caller.user_id, key, &operation, &body)?;
    let mut tx = match request.begin(&api.pool).await? {
        Begun::New(tx) => tx,
        Begun::Done(answer) => return Ok(answer),
    };
    // Locked: two refunds cannot both take what is left.
    let payment = db::lock(&mut tx, order).await?.ok_or_else(|| Problem::not_found("payment"))?;
    let left = refundable(&payment, body.amount)?;
    // What is owed already goes back by itself, unless it is this that has gone back.
    let owed = if body.by_other_means { 0 } else { db::owed(&mut tx, payment.id).await? };
    if body.amount.amount > left - owed {
        let money = |amount| Money::new(amount, body.amount.currency);
        let detail = format!("at most {} is left", money((left - owed).max(0)));
        let owed = (owed > 0).then(|| format!(", and {} is owed and tried again", money(owed)));
        return Err(Problem::new(TOO_LARGE, detail + &owed.unwrap_or_default()));
    }
    let (id, reason, trace) = (EventId::new(), body.reason.trim(), traceparent());
    let by_staff = Some((reason, caller.user_id));
    let asked = Asked { id, by_staff, traceparent: trace.as_deref() };
    let (order_id, payment_id, amount) = (order, payment.id.into(), body.amount);
    let status = if body.by_other_means {
        let total = db::refund_otherwise(&mut tx, (payment_id, amount), asked).await?;
        let refunded_total = Some(total);
        let event = PaymentRefunded { order_id, payment_id, amount, refunded_total };
        api.outbox.append(&mut tx, &event).await?;
        RefundStatus::Done
    } else {
        db::request_refund(&mut tx, payment.id, amount.amount, asked).await?;
        RefundStatus::Pending
    };
    // What is owed now: by other means it has become less.
    let total = payment.refunded + amount.amount + db::owed(&mut tx, payment.id).await?;
    let requested_total = Money::new(total, amount.currency);
    let event = PaymentRefundRequested { order_id, payment_id, amount, requested_total };
    api.outbox.append(&mut tx, &event).await?;
    let refund = Refund {
        id,
        status,
        amount: body.amount,
        reason: Some(reason.to_owned()),
        failure_reason: None,
        retry_at: None,
        created_at: Utc::now().trunc_subsecs(6),
    };
    let answer = request.finish(tx, StatusCode::ACCEPTED, &refund).await?;
    api.wake.wake();
    Ok(answer)
}

/// What is left to give back, if anything ever can be.
fn refundable(payment: &db::Payment, amount: Money) -> Result<i64> {
    if payment.status != Status::Captured {
        return Err(Problem::new(CONFLICT, "no money was taken for this order"));
    }
    if payment.currency != amount.currency.as_str() {
        let detail = format!("the order was paid in {}", payment.currency);
        return Err(Problem::invalid_field("/amount/currency", detail));
    }
    Ok(payment.amount - payment.refunded)
}
