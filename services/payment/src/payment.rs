//! What a payment is. Rules only: no I/O, no await.

use std::fmt;

use serde::Serialize;

/// How far a charge has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = PaymentStatus)]
pub enum Status {
    /// The provider has not answered yet.
    Pending,
    /// The money is ours.
    Captured,
    /// Nothing was charged.
    Failed,
}

/// How far a refund has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum RefundStatus {
    /// The provider has not answered yet.
    Pending,
    /// The money is on its way back.
    Done,
    /// The provider refuses; people have to see to it.
    Failed,
}

/// A provider's name for a means of payment.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The text is no token. Says nothing of the text, which may be a card number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment token has 1 to 255 visible characters and is no card number")]
pub struct TokenError;

impl Token {
    /// The token itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

impl TryFrom<String> for Token {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Self, TokenError> {
        let visible = text.bytes().all(|c| c.is_ascii_graphic());
        let valid = (1..=255).contains(&text.len()) && visible && !is_card_number(&text);
        if valid { Ok(Self(text)) } else { Err(TokenError) }
    }
}

/// Whether the text looks like a card number: 13 to 19 digits whose check digit is right
/// (ISO/IEC 7812-1, annex B), however they are grouped.
fn is_card_number(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.')).collect();
    let digits: Option<Vec<u32>> = bare.chars().map(|c| c.to_digit(10)).collect();
    digits
        .is_some_and(|digits| (13..=19).contains(&digits.len()) && luhn(&digits).is_multiple_of(10))
}

/// Sum of the digits after every second one, counted from the right, was doubled.
fn luhn(digits: &[u32]) -> u32 {
    let weigh = |(index, digit): (usize, &u32)| match (index % 2, digit * 2) {
        (0, _) => *digit,
        (_, double) => double / 10 + double % 10,
    };
    digits.iter().rev().enumerate().map(weigh).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Result<Token, TokenError> {
        text.to_owned().try_into()
    }

    #[test]
    fn card_numbers_are_no_tokens() {
        for number in [
            "4111111111111111",
            "4111-1111-1111-1111",
            "5555.5555.5555.4444",
            "378282246310005",
            "6304000000000000",
            "4222222222222",
        ] {
            assert_eq!(token(number), Err(TokenError), "{number}");
        }
        for good in ["tok_visa", "4111111111111112", "123456789012", "pm_4111111111111111"] {
            assert!(token(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn tokens_are_short_and_visible() {
        for bad in ["", " ", "tok visa", "tok\0", "tök", "4111 1111 1111 1111", &"x".repeat(256)] {
            assert_eq!(token(bad), Err(TokenError), "{bad:?}");
        }
        assert!(token(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn tokens_are_not_shown() {
        assert_eq!(format!("{:?}", token("tok_visa").unwrap()), "[token]");
    }
}
