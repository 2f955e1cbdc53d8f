//! The payment provider's token for a means of payment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Stands for a means of payment at the provider, such as `tok_visa`. It begins with a letter, so
/// that a card number is never taken for one and never stored; `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z][A-Za-z0-9_-]{0,254}$", example = "tok_visa")]
pub struct PaymentToken(String);

/// The text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment token has 1 to 255 characters of A-Z a-z 0-9 _ - and starts with a letter")]
pub struct TokenError;

impl PaymentToken {
    /// The token itself; never log what this gives.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The test provider's token that always succeeds.
    pub fn of_test_provider() -> Self {
        Self("tok_visa".to_owned())
    }
}

impl fmt::Debug for PaymentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[payment token]")
    }
}

impl TryFrom<String> for PaymentToken {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let valid = text.len() <= 255
            && text.bytes().next().is_some_and(|c| c.is_ascii_alphabetic())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'));
        if valid { Ok(Self(text)) } else { Err(TokenError) }
    }
}

impl FromStr for PaymentToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<PaymentToken> for String {
    fn from(token: PaymentToken) -> Self {
        token.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_no_tokens_and_tokens_are_not_shown() {
        for bad in ["", "4242424242424242", "4242 4242", "tok visa", "-tok", &"t".repeat(256)] {
            assert_eq!(bad.parse::<PaymentToken>(), Err(TokenError), "{bad}");
        }
        let token: PaymentToken = "pm_1A-b".parse().unwrap();
        assert_eq!(token.expose(), "pm_1A-b");
        assert!(!format!("{token:?}").contains("pm_1A"));
    }
}
