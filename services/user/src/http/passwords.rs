//! Passwords, for their owners.

use axum::extract::State as Shared;
use http::StatusCode;
use kit::auth::Caller;
use kit::extract::{ClientNetwork, Json};
use kit::problem::{Body, Fields, Problem, Result};
use kit::secret::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use super::State;
use crate::account::{Email, Password, is_password_length};
use crate::db::{self, sessions};
use crate::guessing::Try;

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

/// Changes the caller's password and ends all sessions: log in again with the new one.
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
    Json(body): Json<Change>,
) -> Result<StatusCode> {
    let mut fields = Fields::default();
    let new = fields.take("/new_password", body.new_password.parse::<Password>());
    let plausible = is_password_length(&body.current_password);
    fields.check(plausible, "/current_password", NOT_THE_PASSWORD);
    fields.finish()?;
    let Some(new) = new else {
        return Err(Problem::internal("a field without mistakes has a value"));
    };

    // Given back before the hashing: connections are few.
    let found = db::credentials(&mut *state.pool.acquire().await?, caller.user_id).await?;
    let (email, hash) = found.ok_or_else(|| Problem::not_found("account"))?;
    let email: Email = email.parse().map_err(Problem::internal)?;
    let attempt = Try::new(&email, network);
    attempt.count(&state.pool).await?;
    if !state.hasher.verify(Secret::new(body.current_password), hash).await? {
        return Err(Problem::invalid_field("/current_password", NOT_THE_PASSWORD));
    }
    attempt.forgive(&state.pool).await?;
    let hash = state.hasher.hash(new).await?;
    let mut tx = state.pool.begin().await?;
    db::set_password(&mut tx, caller.user_id, &hash).await?;
    sessions::end_all(&mut tx, caller.user_id).await?;
    tx.commit().await?;
    tracing::info!(user = %caller.user_id, "password changed");
    Ok(StatusCode::NO_CONTENT)
}

const NOT_THE_PASSWORD: &str = "is not the password of the account";
