//! Sessions from login to logout.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Instant;

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use chrono::Utc;
use contracts::UserId;
use http::{StatusCode, header};
use kit::auth::Caller;
use kit::extract::{ClientNetwork, Json};
use kit::problem::{Body, Problem, Result};
use kit::secret::Secret;
use prometheus::IntCounterVec;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::devices::Device;
use super::{BLOCKED, CREDENTIALS, REFRESH, State, lock};
use crate::account::{Email, is_password_length};
use crate::db;
use crate::db::sessions::{self, Admission};
use crate::throttle::{self, Attempt};
use crate::token::{ACCESS_LIFETIME, OpaqueToken, REFRESH_LIFETIME, Standing};

static LOGINS: LazyLock<IntCounterVec> = kit::metric!(
    counter,
    "logins_total",
    "Logins, by outcome (success, refused, limited).",
    &["outcome"]
);

/// Who somebody says they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    /// Compared without regard to case.
    #[schema(example = "ada@example.com")]
    email: String,
    /// The password.
    #[schema(format = Password)]
    password: String,
}

/// A session's tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds for which the access token is valid.
    #[schema(example = 300)]
    expires_in: i64,
    /// Good for one refresh, within 30 days. 90 days after its login a session ends.
    refresh_token: String,
}

/// Opens a session.
///
/// The cookie `shop_device` of the answer distinguishes the owner from strangers who try the password: sent along
/// with later logins it has attempts of its own. It opens nothing, and clients may ignore it.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", request_body = Credentials,
    responses(
        (status = 200, body = Tokens),
        (status = 401, description = "invalid-credentials", body = Body),
        (status = 403, description = "account-blocked", body = Body),
        (status = 429, description = "rate-limited", body = Body),
    )
)]
pub(super) async fn login(
    Shared(state): Shared<State>,
    ClientNetwork(network): ClientNetwork,
    device: Device,
    Json(body): Json<Credentials>,
) -> Result<impl IntoResponse> {
    let Some((user, hash)) = authenticate(&state, network, &device, body).await? else {
        return Err(wrong_credentials());
    };
    let token = OpaqueToken::generate();
    let mut tx = state.pool.begin().await?;
    let expires_at = Utc::now() + REFRESH_LIFETIME;
    let standing = match sessions::admit(&mut tx, user, &hash).await? {
        Admission::Admitted(standing) => standing,
        Admission::Blocked => return Err(Problem::new(BLOCKED, "ask the shop why")),
        Admission::Changed => return Err(wrong_credentials()),
    };
    let known = device.remember(&mut tx, user).await?;
    let session = sessions::open(&mut tx, user, &known.token, &token, expires_at).await?;
    tx.commit().await?;
    LOGINS.with_label_values(&["success"]).inc();
    Ok((known.cookie()?, tokens(&state, (user, session), &standing, &token)?))
}

/// One answer for all reasons: which of them it was would reveal who has an account.
fn wrong_credentials() -> Problem {
    LOGINS.with_label_values(&["refused"]).inc();
    Problem::new(CREDENTIALS, "check both, or open an account")
}

/// The account whose address and password these are, and the hash that its password was verified by.
async fn authenticate(
    state: &State,
    network: Option<IpAddr>,
    device: &Device,
    body: Credentials,
) -> Result<Option<(UserId, String)>> {
    let Ok(email) = body.email.parse::<Email>() else { return Ok(None) };
    if !is_password_length(&body.password) {
        return Ok(None);
    }
    let attempt = Attempt::new(&state.pool, &email, network, device.token.as_ref()).await?;
    attempt.count(&state.pool).await.inspect_err(|_| {
        LOGINS.with_label_values(&["limited"]).inc();
    })?;
    // Given back before the hashing: connections are few.
    let found = {
        let mut connection = state.pool.acquire().await?;
        db::by_email(&mut connection, &email).await?
    };
    let account = found.and_then(|(user, hash)| Some((user, hash?)));
    let hash = account.as_ref().map(|(_, hash)| hash.clone());
    if !state.hasher.verify(Secret::new(body.password), hash).await? {
        return Ok(None);
    }
    attempt.succeeded(&state.pool).await?;
    Ok(account)
}

fn tokens(
    state: &State,
    holder: (UserId, Uuid),
    standing: &Standing,
    refresh_token: &OpaqueToken,
) -> Result<impl IntoResponse + use<>> {
    let access_token =
        state.issuer.access_token(holder, standing, Instant::now()).map_err(Problem::internal)?;
    let tokens = Tokens {
        access_token,
        token_type: "Bearer",
        expires_in: ACCESS_LIFETIME.num_seconds(),
        refresh_token: refresh_token.expose().to_owned(),
    };
    // RFC 6749, 5.1.
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(tokens)))
}

/// The refresh token of a session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    /// As the last login or refresh gave it.
    refresh_token: String,
}

/// Exchanges a refresh token for new tokens. A token that comes a second time ends its session:
/// somebody else has used it.
///
/// After 60 in a row a session is refreshed once a minute. A token that is refused with 429 stays valid.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Session,
    responses(
        (status = 200, body = Tokens),
        (status = 401, description = "invalid-refresh-token", body = Body),
        (status = 429, description = "rate-limited", body = Body),
    )
)]
pub(super) async fn refresh(
    Shared(state): Shared<State>,
    Json(body): Json<Session>,
) -> Result<impl IntoResponse> {
    let (old, new) = (OpaqueToken::presented(body.refresh_token), OpaqueToken::generate());
    let mut tx = state.pool.begin().await?;
    let rotated = sessions::rotate(&mut tx, &old, &new, Utc::now() + REFRESH_LIFETIME).await?;
    let Some((holder, standing)) = rotated else {
        if let Some(user) = sessions::revoke_reused(&mut tx, &old).await? {
            tracing::warn!(%user, "a spent refresh token came again; its session is revoked");
        }
        tx.commit().await?;
        return Err(Problem::new(REFRESH, "log in again"));
    };
    // A refusal rolls back: the token is not spent.
    throttle::count_refresh(&mut tx, holder.1).await?;
    tx.commit().await?;
    tokens(&state, holder, &standing, &new)
}

/// Ends a session. Ending one that has ended, or never was, is no mistake.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", request_body = Session,
    responses((status = 204))
)]
pub(super) async fn logout(
    Shared(state): Shared<State>,
    Json(body): Json<Session>,
) -> Result<StatusCode> {
    let mut connection = state.pool.acquire().await?;
    sessions::end(&mut connection, &OpaqueToken::presented(body.refresh_token)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of the caller, here and everywhere. Their access tokens read until they expire, and change nothing of the
/// account.
#[utoipa::path(
    post, path = "/api/v1/auth/logout-everywhere", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 204),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 404, description = "not-found", body = Body),
    )
)]
pub(super) async fn logout_everywhere(
    Shared(state): Shared<State>,
    caller: Caller,
) -> Result<StatusCode> {
    let mut tx = state.pool.begin().await?;
    lock(&mut tx, &caller).await?;
    sessions::end_all_but(&mut tx, caller.user_id, None).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The public keys that access tokens are verified by (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth",
    responses((status = 200, body = serde_json::Value))
)]
pub(super) async fn jwks(Shared(state): Shared<State>) -> Result<impl IntoResponse> {
    // Read anew each time: a rotation replaces the file under the running service.
    let keys = tokio::fs::read(&state.jwks_file).await.map_err(Problem::internal)?;
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=60")];
    Ok((headers, keys))
}
