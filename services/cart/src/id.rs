//! Whose cart it is.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::UserId;
use contracts::events::{OrderPaid, OrderSource};
use sha2::{Digest, Sha256};

/// What a guest shows to get their cart: 256 random bits that only the guest has.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestToken(String);

/// The text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cart token is 43 characters that this shop has given out")]
pub struct TokenError;

impl GuestToken {
    /// A token that nobody can guess.
    #[expect(clippy::new_without_default, reason = "each is different")]
    pub fn new() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    /// The token itself; never log what this gives.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GuestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[cart token]")
    }
}

impl FromStr for GuestToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError)?;
        if bytes.len() == 32 { Ok(Self(text.to_owned())) } else { Err(TokenError) }
    }
}

/// Names a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CartId(String);

impl CartId {
    /// The cart that was ordered; none: the order names its items itself. Older events say nothing, and are of the
    /// account's cart.
    pub fn ordered(order: &OrderPaid) -> Option<Self> {
        match &order.source {
            Some(OrderSource::Items) => None,
            Some(OrderSource::Cart { id, .. }) => Some(Self(id.clone())),
            None => Some(order.user_id.into()),
        }
    }
}

impl fmt::Display for CartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<UserId> for CartId {
    fn from(user: UserId) -> Self {
        Self(user.to_string())
    }
}

/// By the token's hash: whoever reads the keys of Redis cannot open carts with them, and no token
/// opens the cart of a user.
impl From<&GuestToken> for CartId {
    fn from(token: &GuestToken) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(token.expose())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_different_and_hidden() {
        let token = GuestToken::new();
        assert_ne!(token, GuestToken::new());
        assert_eq!(token.expose().parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(token.expose()));
        assert!(!CartId::from(&token).to_string().contains(token.expose()));
        for bad in ["", "*", "guest", &UserId::new().to_string(), &"A".repeat(44)] {
            assert_eq!(bad.parse::<GuestToken>(), Err(TokenError), "{bad}");
        }
    }
}
