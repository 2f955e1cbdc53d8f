//! Which payment tokens an order may name: those that a payment provider of the shop knows. No I/O.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::str::FromStr;

use kit::problem::{Problem, Result};

use crate::token::PaymentToken;

/// The provider for demos and tests, which moves no money.
const TEST: &str = "test";
/// Stripe.
const STRIPE: &str = "stripe";

/// Where the problem is.
const FIELD: &str = "/payment_token";

/// The payment providers of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Providers(BTreeSet<String>);

impl Default for Providers {
    /// The test provider alone, as in a shop that says nothing of payments.
    fn default() -> Self {
        Self(BTreeSet::from([TEST.to_owned()]))
    }
}

impl FromStr for Providers {
    type Err = Infallible;

    /// Reads a comma-separated list. Names that this release does not know are kept: a shop with a newer
    /// provider is no shop with the test provider alone.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self(names.map(str::to_owned).collect()))
    }
}

impl Providers {
    /// What an order is paid with that names this token. Without a token only a shop for tests knows what to do:
    /// anywhere else unpaid goods would leave.
    pub fn token(&self, given: Option<PaymentToken>) -> Result<PaymentToken> {
        let Some(token) = given else {
            let alone = self.has(TEST) && self.0.len() == 1;
            let missing = || Problem::invalid_field(FIELD, "say what the order is paid with");
            return alone.then(PaymentToken::of_test_provider).ok_or_else(missing);
        };
        let provider = provider(token.expose());
        if provider.is_none_or(|provider| self.has(provider)) {
            return Ok(token);
        }
        Err(Problem::invalid_field(FIELD, "no payment provider of this shop knows such a token"))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// Who knows such a token; none: every shop does. Credit is the shop's own, and whose a saved method is the payment
/// service finds out.
fn provider(token: &str) -> Option<&'static str> {
    match token {
        "credit" => None,
        _ if token.starts_with("method_") => None,
        _ if token.starts_with("pm_") => Some(STRIPE),
        _ => Some(TEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a shop with these providers takes the token.
    fn takes(providers: &str, token: &str) -> bool {
        let given = (!token.is_empty()).then(|| token.parse().unwrap());
        providers.parse::<Providers>().unwrap().token(given).is_ok()
    }

    #[test]
    fn a_payment_token_is_one_of_a_provider_of_the_shop() {
        for (providers, taken, refused) in [
            ("test", &["", "tok_visa", "anything"][..], &["pm_1A"][..]),
            ("stripe", &["pm_1A"], &["", "tok_visa", "anything"]),
            ("stripe, test", &["pm_1A", "tok_visa"], &[""]),
            ("test,later", &["tok_visa"], &["", "pm_1A"]),
            ("later", &[], &["", "pm_1A", "tok_visa"]),
        ] {
            for token in taken.iter().chain(&["credit", "method_default", "method_1"]) {
                assert!(takes(providers, token), "{providers} and {token:?}");
            }
            for token in refused {
                assert!(!takes(providers, token), "{providers} and {token:?}");
            }
        }
        assert_eq!("test".parse(), Ok(Providers::default()));
    }
}
