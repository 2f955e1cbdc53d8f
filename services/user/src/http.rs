//! The HTTP API.

mod accounts;
mod addresses;
mod devices;
mod favourites;
mod passwords;
mod registration;
mod sessions;
mod verification;

use std::path::PathBuf;
use std::sync::Arc;

use contracts::UserId;
use kit::auth::{Caller, Role, refused};
use kit::outbox::Outbox;
use kit::problem::{FORBIDDEN, Kind, Problem, Result};
use kit::worker::Wake;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cache::Cache;
use crate::db::{self, administrators};
use crate::password::Hasher;
use crate::token::Issuer;

/// The address has an account.
pub const EMAIL_TAKEN: Kind = Kind::new(409, "email-taken", "The e-mail address has an account");
/// No account has this address and this password.
pub const CREDENTIALS: Kind =
    Kind::new(401, "invalid-credentials", "E-mail address and password do not fit");
/// An administrator has blocked the account.
pub const BLOCKED: Kind = Kind::new(403, "account-blocked", "The account is blocked");
/// The token of an e-mail is unknown, spent, expired, or has ended with the password.
pub const EMAIL_TOKEN: Kind =
    Kind::new(400, "invalid-email-token", "The token of the letter is not valid");
/// The refresh token is unknown, spent, expired or revoked.
pub const REFRESH: Kind = Kind::new(401, "invalid-refresh-token", "The refresh token is not valid");

/// What handlers need.
#[derive(Clone)]
pub struct State {
    /// Accounts and sessions.
    pub pool: PgPool,
    /// Accounts that were read lately.
    pub profiles: Cache,
    /// Events on their way out.
    pub outbox: Outbox,
    /// Wakes who answers requests for another password.
    pub resets: Wake,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Signs access tokens.
    pub issuer: Arc<Issuer>,
    /// The public keys.
    pub jwks_file: PathBuf,
}

/// Every route.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(kit::openapi::document("User", "Accounts, sessions and roles."))
        .routes(routes!(registration::register))
        .routes(routes!(sessions::login))
        .routes(routes!(sessions::refresh))
        .routes(routes!(sessions::logout))
        .routes(routes!(sessions::logout_everywhere))
        .routes(routes!(sessions::jwks))
        .routes(routes!(accounts::me, accounts::rename))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::set_roles))
        .routes(routes!(accounts::set_blocked))
        .routes(routes!(verification::verify))
        .routes(routes!(verification::send_again))
        .routes(routes!(passwords::change))
        .routes(routes!(passwords::forgotten))
        .routes(routes!(passwords::reset))
        .routes(routes!(addresses::list, addresses::add))
        .routes(routes!(addresses::change, addresses::remove))
        .routes(routes!(favourites::list))
        .routes(routes!(favourites::add, favourites::remove))
}

impl State {
    /// Commits what has given an account this version, if it has another, so that nobody reads the old one any more.
    async fn commit(
        &self,
        tx: Transaction<'_, Postgres>,
        account: UserId,
        version: Option<i64>,
    ) -> Result<()> {
        if let Some(version) = version {
            self.profiles.invalidate(account, version).await;
        }
        tx.commit().await?;
        self.profiles.committed(account);
        Ok(())
    }
}

/// Locks the account of a caller for a change of what belongs to it. It may have been blocked since its token was signed, or the
/// token's session may have ended: what a stranger or thief has opened changes nothing afterwards.
async fn lock(tx: &mut PgConnection, caller: &Caller) -> Result<()> {
    match db::lock(tx, caller.user_id).await? {
        Some(false) => require_session(tx, caller).await,
        Some(true) => Err(refused()),
        None => Err(Problem::not_found("account")),
    }
}

/// Refuses tokens of sessions that have ended. Tokens of the release before name none.
async fn require_session(tx: &mut PgConnection, caller: &Caller) -> Result<()> {
    match caller.session {
        Some(session) if !db::sessions::lives(tx, session).await? => Err(refused()),
        _ => Ok(()),
    }
}

/// Locks the shop's administrators for a change of who may do what. The caller must be one of them now: what the token
/// says may be five minutes old, and its session may have ended.
async fn lock_administrators(tx: &mut PgConnection, caller: &Caller) -> Result<()> {
    caller.require(Role::Admin)?;
    if administrators::lock(tx).await?.contains(&caller.user_id) {
        return require_session(tx, caller).await;
    }
    let blocked = db::account(tx, caller.user_id).await?.is_none_or(|account| account.blocked);
    Err(if blocked {
        refused()
    } else {
        Problem::new(FORBIDDEN, "your account is no longer an administrator's")
    })
}

/// The document of every route.
pub fn openapi() -> OpenApi {
    routes().into_openapi()
}
