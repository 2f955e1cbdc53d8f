//! Passwords, for their owners.

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use contracts::UserId;
use contracts::events::PasswordChanged;
use http::StatusCode;
use kit::auth::Caller;
use kit::extract::{ClientNetwork, Json};
use kit::problem::{Body, Fields, Problem, Result};
use kit::secret::Secret;
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::devices::Device;
use super::{EMAIL_TOKEN, State, lock, require_session};
use crate::account::{Email, Password, is_password_length};
use crate::credentials;
use crate::db::{self, email_tokens};
use crate::letters::Purpose;
use crate::throttle::{self, Attempt};
use crate::token::OpaqueToken;

/// The password as it is, and as it shall be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The password until now.
    #[schema(format = Password)]
    current_password: String,
    /// 8 to 128 characters, any of them; not one of the most common.
    #[schema(format = Password, min_length = 8, max_length = 128)]
    new_password: String,
}

/// Changes the caller's password and ends all sessions and all links in e-mails: log in again with the new one.
#[utoipa::path(
    put, path = "/api/v1/me/password", tag = "accounts", security(("bearer" = [])),
    request_body = Change,
    responses(
        (status = 204),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 422, description = "invalid-fields", body = Body),
        (status = 429, description = "rate-limited", body = Body),
    )
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    ClientNetwork(network): ClientNetwork,
    device: Device,
    Json(body): Json<Change>,
) -> Result<impl IntoResponse> {
    let mut fields = Fields::default();
    let new = fields.take("/new_password", body.new_password.parse::<Password>());
    let plausible = is_password_length(&body.current_password);
    fields.check(plausible, "/current_password", NOT_THE_PASSWORD);
    fields.finish()?;
    let Some(new) = new else {
        return Err(Problem::internal("a field without mistakes has a value"));
    };

    // Given back before the hashing: connections are few.
    let found = {
        let mut connection = state.pool.acquire().await?;
        // Hashing is dear, so what the transaction would refuse is refused before.
        require_session(&mut connection, &caller).await?;
        throttle::check_password_change(&mut connection, caller.user_id).await?;
        db::credentials(&mut connection, caller.user_id).await?
    };
    let (email, hash) = found.ok_or_else(|| Problem::not_found("account"))?;
    let email: Email = email.parse().map_err(Problem::internal)?;
    let attempt = Attempt::new(&state.pool, &email, network, device.token.as_ref()).await?;
    attempt.count(&state.pool).await?;
    let wrong = || Problem::invalid_field("/current_password", NOT_THE_PASSWORD);
    if !state.hasher.verify(Secret::new(body.current_password), hash.clone()).await? {
        return Err(wrong());
    }
    attempt.succeeded(&state.pool).await?;
    let new = state.hasher.hash(new).await?;
    let mut tx = state.pool.begin().await?;
    lock(&mut tx, &caller).await?;
    // Another change may have come first: of two who know a password, the later must know the new one.
    let current = db::credentials(&mut tx, caller.user_id).await?;
    if current.is_none_or(|(_, current)| current != hash) {
        return Err(wrong());
    }
    throttle::count_password_change(&mut tx, caller.user_id).await?;
    let version = replace(&mut tx, &state, caller.user_id, &new).await?;
    let known = device.remember(&mut tx, caller.user_id).await?;
    state.commit(tx, caller.user_id, version).await?;
    Ok((StatusCode::NO_CONTENT, known.cookie()?))
}

const NOT_THE_PASSWORD: &str = "is not the password of the account";

/// Gives an account another password, ends all that the old one has opened, and notifies its owner. Its version after.
async fn replace(
    tx: &mut PgConnection,
    state: &State,
    user: UserId,
    hash: &str,
) -> Result<Option<i64>> {
    let version = db::set_password(tx, user, hash).await?;
    credentials::end_all(tx, user).await?;
    state.outbox.append(tx, &PasswordChanged { user_id: user }).await?;
    tracing::info!(%user, "password changed");
    Ok(version)
}

/// Whose password is forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Forgotten {
    /// Compared without regard to case.
    #[schema(example = "ada@example.com")]
    email: String,
}

/// Has a letter sent by which another password can be chosen, if the address has an account. The answer is the
/// same if it has none, or if enough were sent: the links of those are valid for half an hour more.
#[utoipa::path(
    post, path = "/api/v1/auth/forgot-password", tag = "auth", request_body = Forgotten,
    responses((status = 202), (status = 422, description = "invalid-fields", body = Body))
)]
pub(super) async fn forgotten(
    Shared(state): Shared<State>,
    Json(body): Json<Forgotten>,
) -> Result<StatusCode> {
    let email = body.email.parse::<Email>();
    let email = email.map_err(|error| Problem::invalid_field("/email", error.to_string()))?;
    email_tokens::request_reset(&mut *state.pool.acquire().await?, email.as_str()).await?;
    state.resets.wake();
    Ok(StatusCode::ACCEPTED)
}

/// Another password, by the token of a letter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reset {
    /// The token of the letter.
    #[schema(format = Password)]
    token: String,
    /// 8 to 128 characters, any of them; not one of the most common.
    #[schema(format = Password, min_length = 8, max_length = 128)]
    new_password: String,
}

/// Chooses another password by the token of a letter, which is good once, for an hour. Ends all sessions and
/// all other links.
///
/// The first time that the reader of the e-mails chooses the password, addresses and payment methods are removed if neither the cookie
/// `shop_device` nor an access token says that the account is theirs: another person may have opened it.
#[utoipa::path(
    post, path = "/api/v1/auth/reset-password", tag = "auth", request_body = Reset,
    responses(
        (status = 204),
        (status = 400, description = "invalid-email-token", body = Body),
        (status = 422, description = "invalid-fields", body = Body),
    )
)]
pub(super) async fn reset(
    Shared(state): Shared<State>,
    ClientNetwork(network): ClientNetwork,
    device: Device,
    caller: Result<Caller>,
    Json(body): Json<Reset>,
) -> Result<impl IntoResponse> {
    let new = body.new_password.parse::<Password>();
    let new = new.map_err(|error| Problem::invalid_field("/new_password", error.to_string()))?;
    let (token, purpose) = (OpaqueToken::presented(body.token), Purpose::ResetPassword);
    let invalid = || Problem::new(EMAIL_TOKEN, "ask for another letter");
    // Hashing is dear, so it is not for everybody.
    let user = email_tokens::account_of(&mut *state.pool.acquire().await?, purpose, &token).await?;
    let user = user.ok_or_else(invalid)?;
    let hash = state.hasher.hash(new).await?;
    let mut tx = state.pool.begin().await?;
    db::lock(&mut tx, user).await?;
    if !email_tokens::spend(&mut tx, user, purpose, &token).await? {
        return Err(invalid());
    }
    // The link proves access to the mailbox. Before the password, with which known devices end.
    let reader = device.reader(&mut tx, user, caller).await?;
    credentials::verify_by_reset(&mut tx, &state.outbox, user, reader).await?;
    let version = replace(&mut tx, &state, user, &hash).await?;
    // The way back for owners whose password others have tried: their device has attempts of its own from now on.
    let known = device.remember(&mut tx, user).await?;
    let owner = db::credentials(&mut tx, user).await?;
    state.commit(tx, user, version).await?;
    if let Some(Ok(email)) = owner.map(|(email, _)| email.parse::<Email>()) {
        // Who has guessed at the old password has not guessed at this one.
        throttle::forget(&mut *state.pool.acquire().await?, &email, network).await?;
    }
    Ok((StatusCode::NO_CONTENT, known.cookie()?))
}
