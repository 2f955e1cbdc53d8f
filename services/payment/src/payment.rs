//! What a payment is. Rules only: no I/O, no await.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

/// How far a charge has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = PaymentStatus)]
pub enum Status {
    /// The provider has not answered yet.
    Pending,
    /// The shopper has something to do first, at `next_action`.
    RequiresAction,
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

/// What a shopper pays with. The token of the order decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// The balance of the shopper's own credit: `credit`.
    Credit,
    /// A method that the shopper keeps: `method_<id>`; none: the default one, `method_default`.
    Saved(Option<Uuid>),
    /// A payment method of Stripe's: `pm_…`.
    Stripe(Token),
    /// Whatever else; the provider `test` says what it thinks of it.
    Test(Token),
}

impl Means {
    /// What a token stands for.
    pub fn of(token: Token) -> Self {
        match token.as_str() {
            "credit" => Self::Credit,
            "method_default" => Self::Saved(None),
            text if is_stripes(text) => Self::Stripe(token),
            text => match text.strip_prefix(SAVED).map(Uuid::parse_str) {
                Some(Ok(id)) => Self::Saved(Some(id)),
                _ => Self::Test(token),
            },
        }
    }
}

/// It becomes a part of URLs.
fn is_stripes(text: &str) -> bool {
    let rest = text.strip_prefix("pm_");
    rest.is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'))
}

/// What the token of a saved method begins with.
pub const SAVED: &str = "method_";

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
pub(crate) fn is_card_number(text: &str) -> bool {
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
    fn the_token_says_who_charges() {
        let means = |text: &str| Means::of(token(text).unwrap());
        let id = Uuid::now_v7();
        assert_eq!(means("credit"), Means::Credit);
        assert_eq!(means("method_default"), Means::Saved(None));
        assert_eq!(means(&format!("method_{id}")), Means::Saved(Some(id)));
        assert!(matches!(means("pm_1A"), Means::Stripe(_)));
        for other in ["tok_visa", "method_1", "credits", "Credit", "pm_1/../2", "pm_1?"] {
            assert!(matches!(means(other), Means::Test(_)), "{other}");
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
