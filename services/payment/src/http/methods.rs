//! Means of payment that shoppers keep for the next order.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use kit::auth::{self, Caller};
use kit::extract::{self, Path};
use kit::openapi::Refused;
use kit::problem::{CONFLICT, Fields, Problem, Result};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, PgTransaction};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use crate::db::methods::{self, New};
use crate::payment::{Means, SAVED, Token};
use crate::provider::{StripeProvider, TestProvider};

/// Most methods of one shopper.
const MOST: usize = 20;

/// A means of payment that a shopper keeps.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentMethod)]
pub(super) struct Method {
    id: Uuid,
    /// What an order is to name as its `payment_token`; `method_default` stands for the default one.
    payment_token: String,
    /// Who charges.
    provider: String,
    /// Whose it is, as the provider says, e.g. `visa`.
    brand: String,
    /// The last four digits, as the provider says.
    last4: String,
    /// Your own name for it.
    label: Option<String>,
    is_default: bool,
    created_at: DateTime<Utc>,
}

impl From<methods::Method> for Method {
    fn from(row: methods::Method) -> Self {
        Self {
            id: row.id,
            payment_token: format!("{SAVED}{}", row.id),
            provider: row.provider,
            brand: row.brand,
            last4: row.last4,
            label: row.label,
            is_default: row.is_default,
            created_at: row.created_at,
        }
    }
}

/// All means of payment that a shopper keeps.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentMethods)]
pub(super) struct Methods {
    /// The latest first.
    items: Vec<Method>,
}

/// Your means of payment
#[utoipa::path(
    get, path = "/api/v1/payment-methods", tag = "payment methods",
    responses(
        (status = 200, body = Methods),
        Refused,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Methods>> {
    let rows = methods::all(&mut *api.pool.acquire().await?, caller.user_id).await?;
    Ok(Json(Methods { items: rows.into_iter().map(Method::from).collect() }))
}

/// A means of payment to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SavePaymentMethod)]
pub(super) struct Save {
    /// The provider's token, such as `pm_…` of Stripe; never a card number.
    #[schema(max_length = 255)]
    token: String,
    /// Your own name for it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    label: Option<String>,
    /// Whether it is to be the default; the first one is in any case.
    #[serde(default)]
    is_default: bool,
}

/// What can be kept: the provider and its token. A label that looks like a card number is refused too.
fn acceptable(body: Save) -> Result<(&'static str, Token, Option<String>)> {
    let mut fields = Fields::default();
    let label = body.label.map(|label| label.trim().to_owned());
    if let Some(label) = &label {
        let length = (1..=64).contains(&label.chars().count());
        fields.check(length, "/label", "1 to 64 characters");
        fields.take("/label", contracts::text::line(label));
        let bare = !crate::payment::is_card_number(label);
        fields.check(bare, "/label", "must not be a card number");
    }
    let token = fields.take("/token", Token::try_from(body.token));
    let means = token.map(Means::of);
    let kept = match means {
        Some(Means::Stripe(token)) => Some((StripeProvider::NAME, token)),
        Some(Means::Test(token)) => Some((TestProvider::NAME, token)),
        Some(_) => {
            fields.check(false, "/token", "is not the token of a provider");
            None
        }
        None => None,
    };
    fields.finish()?;
    let (provider, token) = kept.ok_or_else(|| Problem::internal("fields were checked"))?;
    Ok((provider, token, label))
}

/// Keep a means of payment
///
/// The provider says what it is; saving it again changes label and default.
#[utoipa::path(
    post, path = "/api/v1/payment-methods", tag = "payment methods", request_body = Save,
    responses(
        (status = 201, description = "Kept", body = Method),
        Refused,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn save(
    State(api): State<Arc<Api>>,
    caller: Caller,
    extract::Json(body): extract::Json<Save>,
) -> Result<(StatusCode, Json<Method>)> {
    let (user, is_default) = (caller.user_id, body.is_default);
    let (provider, token, label) = acceptable(body)?;
    let token_expires_at =
        DateTime::from_timestamp(caller.expires_at, 0).ok_or_else(auth::refused)?;
    let label = label.as_deref();
    let new = New { user, provider, token: &token, label, is_default, token_expires_at };
    let refused = || Problem::invalid_field("/token", "no provider of this shop knows it");
    let there = api.providers.open(provider).ok_or_else(refused)?;
    if let Found::There(method) = look(&api.pool, new).await? {
        return Ok((StatusCode::CREATED, Json(method.into())));
    }
    // No transaction waits for the provider.
    let kept = there.keep(user, &token).await.map_err(Problem::unavailable)?.ok_or_else(refused)?;
    let method = match look(&api.pool, new).await? {
        // The same request has come twice at once.
        Found::There(method) => method,
        Found::Room(mut tx) => {
            let method = methods::save(&mut tx, new, &kept).await?;
            tx.commit().await?;
            method
        }
    };
    Ok((StatusCode::CREATED, Json(method.into())))
}

/// Whether the user has a method already.
enum Found {
    /// Yes; label and default are as they are wanted now.
    There(methods::Method),
    /// No, and there is room for it in this transaction.
    Room(PgTransaction<'static>),
}

async fn look(pool: &PgPool, new: New<'_>) -> Result<Found> {
    let mut tx = pool.begin().await?;
    methods::lock(&mut tx, new.user).await?;
    if methods::may_be_strangers(&mut tx, new.user, new.token_expires_at).await? {
        return Err(auth::refused());
    }
    if let Some(method) = methods::change(&mut tx, new).await? {
        tx.commit().await?;
        return Ok(Found::There(method));
    }
    room(&methods::all(&mut tx, new.user).await?)?;
    Ok(Found::Room(tx))
}

fn room(there: &[methods::Method]) -> Result<()> {
    if there.len() < MOST {
        return Ok(());
    }
    Err(Problem::new(CONFLICT, format!("at most {MOST} are kept: remove one first")))
}

/// Let go of a means of payment
///
/// What is being charged with it is charged. If it was the default, the latest of the rest is.
#[utoipa::path(
    delete, path = "/api/v1/payment-methods/{id}", tag = "payment methods",
    params(("id" = Uuid, Path)),
    responses(
        (status = 204, description = "Gone"),
        Refused,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    let mut tx = api.pool.begin().await?;
    methods::lock(&mut tx, caller.user_id).await?;
    let removed = methods::remove(&mut tx, caller.user_id, id).await?;
    let removed = removed.ok_or_else(|| Problem::not_found("payment method"))?;
    tx.commit().await?;
    // It is gone here; that the provider still knows it harms nobody.
    if let Ok(provider) = api.providers.get(&removed.provider)
        && let Err(error) = provider.forget(&removed.token).await
    {
        let (provider, error) = (&removed.provider, kit::telemetry::chain(&error));
        tracing::warn!(provider, error, "a means of payment is still known to its provider");
    }
    Ok(StatusCode::NO_CONTENT)
}
