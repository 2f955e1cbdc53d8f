//! Who calls: access tokens (JWT, RFC 7519) signed with Ed25519 (RFC 8037), verified by every
//! service itself from the shop's public keys.

mod key_file;
mod keys;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use contracts::{UserId, env};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};

use crate::config::{Env, FromEnv};
use crate::problem::{FORBIDDEN, Problem, UNAUTHENTICATED};
pub use key_file::KeyFile;
pub use keys::KeyError;
use keys::KeySet;

/// Seconds by which clocks may differ.
const LEEWAY_SECONDS: u64 = 5;

/// `typ` claim of an access token, so that no other token of ours is taken for one.
pub const ACCESS: &str = "access";

/// What stands before an access token among the protocols that a WebSocket offers. Browsers can set no other header.
const BEARER_PROTOCOL: &str = "bearer.";

/// What a person may be.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys.
    Customer,
    /// Sells products of their own.
    Seller,
    /// Runs the shop.
    Admin,
}

/// What an access token says (RFC 7519 names).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: the shop.
    pub iss: String,
    /// Audience: the shop.
    pub aud: String,
    /// The account.
    pub sub: UserId,
    /// Expiry, seconds since the epoch.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// When it begins to be valid.
    pub nbf: i64,
    /// Id of the token.
    pub jti: uuid::Uuid,
    /// [`ACCESS`].
    pub typ: String,
    /// What the account may do.
    pub roles: Vec<Role>,
    /// Whether the owner of the account's e-mail address has confirmed it (name of `OpenID` Connect Core, 5.1). Absent:
    /// an older release has signed the token, and it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// The session that the token was issued in (name of `OpenID` Connect Front-Channel Logout, 3). Absent: an older
    /// release has signed the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<uuid::Uuid>,
}

/// Where the public keys are and what tokens must say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// JSON Web Key Set file (RFC 7517); read again every minute, and when a token names an unknown key.
    pub jwks_file: PathBuf,
    /// Expected `iss`.
    pub issuer: String,
    /// Expected `aud`.
    pub audience: String,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let jwks_file = env.required(env::JWKS_FILE);
        let issuer = env.required(env::JWT_ISSUER);
        let audience = env.required(env::JWT_AUDIENCE);
        Some(Self { jwks_file: jwks_file?, issuer: issuer?, audience: audience? })
    }
}

/// Verifies access tokens.
#[derive(Debug)]
pub struct Verifier {
    validation: Validation,
    keys: KeySet,
}

impl Verifier {
    /// Reads the key set.
    pub fn new(settings: Settings) -> Result<Self, KeyError> {
        let keys = KeySet::new(settings.jwks_file, Instant::now())?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_audience(&[&settings.audience]);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        Ok(Self { validation, keys })
    }

    /// The claims of a valid access token.
    pub fn verify(&self, token: &str) -> Result<Claims, Problem> {
        let head = jsonwebtoken::decode_header(token).map_err(|_| refused())?;
        let kid = head.kid.ok_or_else(refused)?;
        let keys = self.keys.with(&kid, Instant::now());
        let key = keys.find(&kid).ok_or_else(refused)?;
        let key = DecodingKey::from_jwk(key).map_err(|_| refused())?;
        let claims: Claims = jsonwebtoken::decode(token, &key, &self.validation)
            .map_err(|error| {
                tracing::debug!(%error, "a token was refused");
                refused()
            })?
            .claims;
        if claims.typ == ACCESS { Ok(claims) } else { Err(refused()) }
    }

    /// Whoever sends these headers, or metadata of gRPC; `None` without a token. Refuses a token that is not valid.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Ok(None);
        };
        let unusable =
            || Problem::new(UNAUTHENTICATED, "send Authorization: Bearer <access token>");
        let (scheme, token) =
            value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(unusable)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(unusable());
        }
        self.verify(token.trim()).map(|claims| Some(claims.into()))
    }
}

/// The answer to a token that is not valid. Which check failed helps an attacker more than a client.
pub fn refused() -> Problem {
    let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    Problem::new(UNAUTHENTICATED, "the access token is not valid")
        .header(header::WWW_AUTHENTICATE, challenge)
}

/// The account that a request is made for. As an extractor it refuses requests without a valid
/// token; `Option<Caller>` lets those without any token through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub user_id: UserId,
    /// What it may do.
    pub roles: Vec<Role>,
    /// When the token ends, in seconds since the epoch.
    pub expires_at: i64,
    /// Whether its e-mail address is verified; none: not known.
    pub email_verified: Option<bool>,
    /// The session of the token; none: not known.
    pub session: Option<uuid::Uuid>,
}

impl Caller {
    /// Refuses callers without this role; administrators have every role.
    pub fn require(&self, role: Role) -> Result<(), Problem> {
        if self.has(role) {
            Ok(())
        } else {
            Err(Problem::new(FORBIDDEN, "your account does not have the role that this needs"))
        }
    }

    /// Whether the account is known to have an e-mail address that its owner has not confirmed.
    pub fn is_unverified(&self) -> bool {
        self.email_verified == Some(false)
    }

    /// Whether the caller has this role; administrators have every role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Admin)
    }

    /// Whether what belongs to this seller is the caller's to manage: their own, or an administrator's.
    pub fn manages(&self, seller: UserId) -> bool {
        self.has(Role::Admin) || self.user_id == seller && self.has(Role::Seller)
    }
}

impl From<Claims> for Caller {
    fn from(claims: Claims) -> Self {
        let Claims { sub, roles, exp, email_verified, sid, .. } = claims;
        Self { user_id: sub, roles, expires_at: exp, email_verified, session: sid }
    }
}

fn caller(parts: &Parts) -> Result<Option<Caller>, Problem> {
    if !parts.headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    verifier(parts)?.caller(&parts.headers)
}

fn verifier(parts: &Parts) -> Result<&Verifier, Problem> {
    let verifier = parts.extensions.get::<Arc<Verifier>>();
    verifier
        .map(|verifier| &**verifier)
        .ok_or_else(|| Problem::internal("the service has no token verifier"))
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        caller(parts)?.ok_or_else(|| {
            Problem::new(UNAUTHENTICATED, "send Authorization: Bearer <access token>")
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        })
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Problem> {
        caller(parts)
    }
}

/// The account that a WebSocket is opened for. The access token comes in `Authorization` or, from browsers, as the
/// protocol `bearer.<token>`. None without a token; one that is not valid is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketCaller(pub Option<Caller>);

impl<S: Send + Sync> FromRequestParts<S> for SocketCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        if let Some(caller) = caller(parts)? {
            return Ok(Self(Some(caller)));
        }
        let Some(token) = protocol_token(&parts.headers) else { return Ok(Self(None)) };
        verifier(parts)?.verify(token).map(|claims| Self(Some(claims.into())))
    }
}

/// The access token among the protocols that a client offers.
fn protocol_token(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    offered.find_map(|protocol| protocol.trim().strip_prefix(BEARER_PROTOCOL))
}
