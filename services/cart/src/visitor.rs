//! Who is at the cart: a user by access token, a guest by cart token, or somebody new.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::HeaderName;
use http::request::Parts;
use kit::auth::Caller;
use kit::problem::{MALFORMED, Problem, Result};

use crate::id::{CartId, GuestToken};

/// The header that a guest's cart is named by.
pub const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-cart-token");

/// Whoever sends a request.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// Logged in; has a cart by that.
    User(CartId),
    /// Has shown the token of a cart.
    Guest(GuestToken),
    /// Has no cart yet.
    New,
}

impl Visitor {
    /// The cart that is named by the request.
    pub fn cart(&self) -> Option<CartId> {
        match self {
            Self::User(cart) => Some(cart.clone()),
            Self::Guest(token) => Some(token.into()),
            Self::New => None,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let caller =
            <Caller as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        if let Some(caller) = caller {
            return Ok(Self::User(caller.user_id.into()));
        }
        Ok(guest(parts)?.map_or(Self::New, Self::Guest))
    }
}

/// The token of the guest cart that a user brings along.
#[derive(Clone, Debug)]
pub struct Brought(pub GuestToken);

impl<S: Send + Sync> FromRequestParts<S> for Brought {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let token = guest(parts)?;
        token.map(Self).ok_or_else(|| Problem::new(MALFORMED, "send the X-Cart-Token to merge"))
    }
}

fn guest(parts: &Parts) -> Result<Option<GuestToken>> {
    let Some(value) = parts.headers.get(TOKEN_HEADER) else {
        return Ok(None);
    };
    let token = value.to_str().unwrap_or_default().parse();
    token.map(Some).map_err(|error| Problem::new(MALFORMED, format!("X-Cart-Token: {error}")))
}
