//! Opening accounts.

use std::net::IpAddr;
use std::sync::LazyLock;

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use contracts::UserId;
use contracts::events::{RegistrationAttempted, UserRegistered};
use http::StatusCode;
use kit::auth::Role;
use kit::extract::{ClientNetwork, Json, etag};
use kit::problem::{Body, Fields, Problem, Result};
use prometheus::{IntCounter, IntCounterVec};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{EMAIL_TAKEN, State};
use crate::account::{Account, Email, Name, Password};
use crate::db::{self, EMAIL_UNIQUE, NewAccount};
use crate::letters::{self, Purpose};
use crate::throttle;

static REGISTRATIONS: LazyLock<IntCounter> =
    kit::metric!(counter, "registrations_total", "Accounts opened by their owners.");
static REFUSED: LazyLock<IntCounterVec> = kit::metric!(
    counter,
    "registrations_refused_total",
    "Registrations refused, by reason (limited, taken: the address has an account).",
    &["reason"]
);

/// An account to be opened.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    /// Compared without regard to case.
    #[schema(example = "ada@example.com")]
    email: String,
    /// 8 to 128 characters, any of them; not one of the most common.
    #[schema(format = Password, min_length = 8, max_length = 128)]
    password: String,
    /// What the person wants to be called.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// Opens an account.
///
/// If the address has one already, its owner is notified by e-mail. Five an hour from one public network.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "auth", request_body = Registration,
    responses(
        (status = 201, body = Account),
        (status = 409, description = "email-taken", body = Body),
        (status = 422, description = "invalid-fields", body = Body),
        (status = 429, description = "rate-limited", body = Body),
    )
)]
pub(super) async fn register(
    Shared(state): Shared<State>,
    ClientNetwork(network): ClientNetwork,
    Json(body): Json<Registration>,
) -> Result<impl IntoResponse> {
    let mut fields = Fields::default();
    let email = fields.take("/email", body.email.parse::<Email>());
    let password = fields.take("/password", body.password.parse::<Password>());
    let name = body.name.map_or(Ok(Name::default()), |name| name.parse());
    let name = fields.take("/name", name);
    fields.finish()?;
    let (Some(email), Some(password), Some(name)) = (email, password, name) else {
        return Err(Problem::internal("fields without mistakes have values"));
    };
    count(&state, network).await?;
    let hash = state.hasher.hash(password).await?;
    let Some(account) = open(&state, &email, &name, &hash).await? else {
        REFUSED.with_label_values(&["taken"]).inc();
        notify_owner(&state, &email).await?;
        return Err(Problem::new(EMAIL_TAKEN, "log in, or choose another address"));
    };
    REGISTRATIONS.inc();
    Ok((StatusCode::CREATED, etag(account.version), axum::Json(account)))
}

/// Each registration reveals whether an address has an account.
async fn count(state: &State, network: Option<IpAddr>) -> Result<()> {
    let counted = throttle::count_registration(&state.pool, network).await;
    counted.inspect_err(|_| REFUSED.with_label_values(&["limited"]).inc())
}

/// The account, unless the address has one.
async fn open(state: &State, email: &Email, name: &Name, hash: &str) -> Result<Option<Account>> {
    let new = NewAccount {
        id: UserId::new(),
        email,
        name,
        password_hash: Some(hash),
        roles: &[Role::Customer],
    };
    let mut tx = state.pool.begin().await?;
    let account = match db::insert(&mut tx, &new).await {
        Ok(account) => account,
        Err(error) if kit::postgres::violated(&error) == Some(EMAIL_UNIQUE) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let event = UserRegistered {
        user_id: account.id,
        email: account.email.clone(),
        name: account.name.clone(),
    };
    state.outbox.append(&mut tx, &event).await?;
    letters::write(&mut tx, &state.outbox, account.id, Purpose::VerifyEmail).await?;
    tx.commit().await?;
    Ok(Some(account))
}

/// Sends the owner of an address a mail about a registration with it, unless one was sent today.
async fn notify_owner(state: &State, email: &Email) -> Result<()> {
    let mut tx = state.pool.begin().await?;
    let Some((user_id, _)) = db::by_email(&mut tx, email).await? else { return Ok(()) };
    if throttle::may_notify(&mut tx, email).await? {
        state.outbox.append(&mut tx, &RegistrationAttempted { user_id }).await?;
    }
    tx.commit().await?;
    Ok(())
}
