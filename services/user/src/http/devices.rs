//! Known devices: a cookie that distinguishes the owner of an account from strangers who try its password. It opens nothing.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use chrono::{TimeDelta, Utc};
use contracts::UserId;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use kit::auth::Caller;
use kit::problem::{Problem, Result};
use sqlx::PgConnection;

use crate::credentials::Reader;
use crate::db::devices;
use crate::token::OpaqueToken;

const COOKIE: &str = "shop_device";
/// How long a device is known after its last login.
const LIFETIME: TimeDelta = TimeDelta::days(180);
/// `https` if the client uses TLS; set by the gateway.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The device that a request comes from, as it says itself, and how to answer it.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// What its cookie holds.
    pub token: Option<OpaqueToken>,
    https: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Device {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let https = parts.headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
        Ok(Self { token: presented(&parts.headers), https })
    }
}

fn presented(headers: &HeaderMap) -> Option<OpaqueToken> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies =
        lines.flat_map(|line| line.split(';')).filter_map(|c| c.trim().split_once('='));
    let (_, value) = cookies.find(|(name, _)| *name == COOKIE)?;
    Some(OpaqueToken::presented(value.to_owned()))
}

impl Device {
    /// Who uses it to show that they read the mails of an account.
    pub(super) async fn reader(
        &self,
        tx: &mut PgConnection,
        user: UserId,
        caller: Result<Caller>,
    ) -> Result<Reader<'_>> {
        if let Some(token) = &self.token
            && devices::extend(tx, user, token, Utc::now() + LIFETIME).await?
        {
            return Ok(Reader::Device(token));
        }
        let own = caller.is_ok_and(|caller| caller.user_id == user);
        Ok(if own { Reader::Caller } else { Reader::Unknown })
    }

    /// The owner of an account has shown who they are: from now on this is a device of theirs.
    pub(super) async fn remember(self, tx: &mut PgConnection, user: UserId) -> Result<Known> {
        let expires_at = Utc::now() + LIFETIME;
        if let Some(token) = self.token
            && devices::extend(tx, user, &token, expires_at).await?
        {
            return Ok(Known { token, https: self.https });
        }
        let token = OpaqueToken::generate();
        devices::insert(tx, user, &token, expires_at).await?;
        Ok(Known { token, https: self.https })
    }
}

/// A device of the owner of an account.
#[derive(Debug)]
pub(super) struct Known {
    /// What its cookie holds.
    pub token: OpaqueToken,
    https: bool,
}

impl Known {
    /// The header that sets its cookie.
    pub(super) fn cookie(&self) -> Result<[(HeaderName, HeaderValue); 1]> {
        let secure = if self.https { "; Secure" } else { "" };
        // Scripts need not see it, and other sites have no use for it.
        let cookie = format!(
            "{COOKIE}={}; Path=/api/v1; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
            self.token.expose(),
            LIFETIME.num_seconds(),
        );
        let mut value = HeaderValue::try_from(cookie).map_err(Problem::internal)?;
        value.set_sensitive(true);
        Ok([(header::SET_COOKIE, value)])
    }
}
