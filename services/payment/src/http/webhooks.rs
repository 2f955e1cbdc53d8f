//! What providers tell us of their own accord. A webhook only says where to look: the worker asks
//! the provider what is true now, so that neither order nor repetition of webhooks matters.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use chrono::{DateTime, Utc};
use contracts::events::PaymentDisputed;
use http::{HeaderMap, StatusCode};
use kit::extract::{Path, parse};
use kit::openapi::Refused;
use kit::problem::{Kind, Problem, Result};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Api;
use crate::db;
use crate::db::disputes::{Changed, Report};
use crate::signature::{HEADER, SignatureError};
use crate::worker::{self, Outcome};

/// The webhook is not the provider's, or not of now.
pub(crate) const NOT_SIGNED: Kind =
    Kind::new(400, "webhook-signature-invalid", "The signature of the webhook is not valid");

/// An event of a provider's. What it is about has many shapes, most of which mean nothing here.
#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    r#type: String,
    /// When it has happened, in seconds since the epoch.
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    data: Value,
}

impl Event {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.data.pointer(pointer).and_then(Value::as_str)
    }

    fn number(&self, pointer: &str) -> Option<i64> {
        self.data.pointer(pointer).and_then(Value::as_i64)
    }

    /// The dispute that it is about.
    fn dispute(&self) -> Option<Report<'_>> {
        let reference = self.text("/object/id").filter(|id| (1..=255).contains(&id.len()))?;
        let time = |seconds| DateTime::from_timestamp(seconds, 0);
        Some(Report {
            reference,
            charge: self.text("/object/payment_intent")?,
            amount: self.number("/object/amount")?,
            currency: self.text("/object/currency")?,
            reason: self.text("/object/reason").unwrap_or("general"),
            status: self.text("/object/status")?,
            due_at: self.number("/object/evidence_details/due_by").and_then(time),
            reported_at: self.created.and_then(time).unwrap_or_else(Utc::now),
        })
    }
}

/// Take a webhook
///
/// For providers, which sign what they send as Stripe does. Types that mean nothing here are taken and ignored.
#[utoipa::path(
    post, path = "/api/v1/webhooks/payments/{provider}", tag = "webhooks",
    params(
        ("provider" = String, Path, example = "stripe"),
        ("Stripe-Signature" = String, Header, description = "`t=<seconds>,v1=<HMAC-SHA256 of t.body>`"),
    ),
    request_body(content = String, content_type = "application/json", description = "The event, as the provider has signed it"),
    responses(
        (status = 204, description = "Taken, now or before"),
        Refused,
    ),
)]
pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let found = api.webhooks.get_key_value(&*provider);
    let (provider, secrets) = found.ok_or_else(|| Problem::not_found("provider"))?;
    let header = headers.get(HEADER).and_then(|value| value.to_str().ok());
    let verified = header.ok_or(SignatureError::Unreadable);
    verified
        .and_then(|header| secrets.verify(header, &body, Utc::now()))
        .map_err(|error| Problem::new(NOT_SIGNED, error.to_string()))?;
    let event: Event = parse(&body)?;
    if !(1..=255).contains(&event.id.len()) {
        return Err(Problem::invalid_field("/id", "1 to 255 characters"));
    }
    let mut tx = api.pool.begin().await?;
    if db::webhooks::note(&mut tx, provider, &event.id, &event.r#type).await? {
        let due = apply(&api, &mut tx, provider, &event).await?;
        tx.commit().await?;
        if due {
            api.wake.wake();
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Does what the event asks for. Says whether the worker has something to do.
async fn apply(api: &Api, tx: &mut PgConnection, provider: &str, event: &Event) -> Result<bool> {
    let reference = event.text("/object/id").unwrap_or_default();
    if event.r#type.starts_with("payment_intent.") {
        let key = event.text("/object/metadata/payment_id");
        let key = key.and_then(|key| Uuid::parse_str(key).ok());
        return Ok(db::webhooks::look_again(tx, provider, reference, key).await?);
    }
    if event.r#type.starts_with("charge.dispute.") {
        if let Some(report) = event.dispute()
            && let Some(changed) = db::disputes::note(tx, provider, &report).await?
        {
            api.outbox.append(tx, &disputed(provider, &report, changed)).await?;
            let (dispute, status) = (report.reference, report.status);
            tracing::warn!(provider, dispute, status, "a shopper's bank wants a charge back");
        }
        return Ok(false);
    }
    // Names of the same event in different versions of the API.
    let about_refund =
        ["refund.failed", "refund.updated", "charge.refund.updated"].contains(&&*event.r#type);
    if about_refund && event.text("/object/status") == Some("failed") {
        let reason = event.text("/object/failure_reason").unwrap_or("refused");
        let owed = db::owe_again(tx, provider, reference, reason).await?;
        if let Some((order_id, payment_id)) = owed {
            // It is asked for again, and staff finds it in the list.
            tracing::error!(%order_id, %payment_id, reason, "a refund has failed after it was done");
            worker::count(provider, Outcome::RefundFailed);
        }
    }
    Ok(false)
}

fn disputed(provider: &str, report: &Report<'_>, changed: Changed) -> PaymentDisputed {
    PaymentDisputed {
        order_id: changed.order.into(),
        payment_id: changed.payment.into(),
        provider: provider.to_owned(),
        dispute: report.reference.to_owned(),
        reason: report.reason.to_owned(),
        status: report.status.to_owned(),
        due_at: report.due_at,
    }
}
