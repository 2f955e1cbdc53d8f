//! Showing that an account's address is its owner's.

use axum::extract::State as Shared;
use http::{StatusCode, header};
use kit::auth::Caller;
use kit::extract::Json;
use kit::problem::{Body, Problem, RATE_LIMITED, Result};
use serde::Deserialize;
use utoipa::ToSchema;

use super::devices::Device;
use super::{EMAIL_TOKEN, State, lock};
use crate::credentials;
use crate::db::{self, email_tokens};
use crate::letters::{self, Purpose};
use crate::throttle;
use crate::token::OpaqueToken;

/// What a letter has brought.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Verification {
    /// The token of the letter.
    #[schema(format = Password)]
    token: String,
}

/// Shows that the account's address is its owner's, by the token of a letter. It is good once, for three days.
///
/// Ends all sessions
/// but those of this browser (cookie `shop_device`), and all other links. Addresses of the account are removed if neither the cookie nor an access
/// token says that it is the caller's: another person may have opened it.
#[utoipa::path(
    post, path = "/api/v1/auth/verify-email", tag = "auth", request_body = Verification,
    responses((status = 204), (status = 400, description = "invalid-email-token", body = Body))
)]
pub(super) async fn verify(
    Shared(state): Shared<State>,
    device: Device,
    caller: Result<Caller>,
    Json(body): Json<Verification>,
) -> Result<StatusCode> {
    let (token, purpose) = (OpaqueToken::presented(body.token), Purpose::VerifyEmail);
    let invalid = || Problem::new(EMAIL_TOKEN, "ask for another letter");
    let mut tx = state.pool.begin().await?;
    let user = email_tokens::account_of(&mut tx, purpose, &token).await?.ok_or_else(invalid)?;
    db::lock(&mut tx, user).await?;
    if !email_tokens::spend(&mut tx, user, purpose, &token).await? {
        return Err(invalid());
    }
    let reader = device.reader(&mut tx, user, caller).await?;
    let version = credentials::verify(&mut tx, &state.outbox, user, reader).await?;
    state.commit(tx, user, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has another letter sent to the caller's address. The links of those before it stay valid. There is none for an address
/// that is verified, and none too soon after the one before: after a minute first, then after twice as long each time.
#[utoipa::path(
    post, path = "/api/v1/me/verification", tag = "accounts", security(("bearer" = [])),
    responses(
        (status = 202),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 404, description = "not-found", body = Body),
        (status = 429, description = "rate-limited", body = Body),
    )
)]
pub(super) async fn send_again(Shared(state): Shared<State>, caller: Caller) -> Result<StatusCode> {
    let mut tx = state.pool.begin().await?;
    lock(&mut tx, &caller).await?;
    let account = db::account(&mut tx, caller.user_id).await?;
    if account.is_some_and(|account| account.email_verified) {
        return Ok(StatusCode::ACCEPTED);
    }
    let purpose = Purpose::VerifyEmail;
    if let Some(wait) = letters::write(&mut tx, &state.outbox, caller.user_id, purpose).await? {
        let problem = Problem::new(RATE_LIMITED, "an e-mail is on its way to you");
        return Err(problem.header(header::RETRY_AFTER, throttle::retry_after(wait)));
    }
    tx.commit().await?;
    Ok(StatusCode::ACCEPTED)
}
