//! Money: integer minor units and an ISO 4217 code. No float comes near it, overflow is an error.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Codes that ISO 4217 has withdrawn and the list of the crate no longer has, with their exponents. A shop cannot change
/// its currency, so those that sell in one go on.
const WITHDRAWN: [(&str, u32); 1] = [("ANG", 2)];

/// An ISO 4217 currency code.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
#[schema(value_type = String, example = "EUR")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("codes are ASCII")
    }

    /// Digits after the decimal point (ISO 4217, "minor unit").
    pub fn exponent(self) -> u32 {
        exponent(self.as_str()).expect("a currency is one that can be sold in")
    }

    /// Every currency that a shop can sell in, in alphabetical order.
    pub fn all() -> Vec<Self> {
        let listed = (1..=999).filter_map(iso_currency::Currency::from_numeric);
        let codes = listed.map(|currency| currency.code()).chain(WITHDRAWN.map(|(code, _)| code));
        let mut all: Vec<Self> = codes.filter_map(|code| code.parse().ok()).collect();
        all.sort_unstable();
        all
    }
}

/// Digits after the decimal point, of currencies that a shop can sell in: no funds, metals, units of account or test
/// codes. What ISO 4217 has withdrawn counts.
fn exponent(code: &str) -> Option<u32> {
    if let Some((_, exponent)) = WITHDRAWN.iter().find(|(withdrawn, _)| *withdrawn == code) {
        return Some(*exponent);
    }
    let currency = iso_currency::Currency::from_code(code)?;
    let money = !currency.is_fund() && !currency.is_special();
    currency.exponent().filter(|_| money).map(u32::from)
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || MoneyError::UnknownCurrency(text.chars().take(8).collect());
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| unknown())?;
        exponent(text).map(|_| Self(code)).ok_or_else(unknown)
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

/// An amount in minor units (cents) of a currency.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units, e.g. cents.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: Currency,
}

/// Why an amount could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The result does not fit 64 bits.
    #[error("the amount is too large")]
    Overflow,
    /// Amounts of two currencies cannot be added.
    #[error("{0} cannot be combined with {1}")]
    CurrencyMismatch(Currency, Currency),
    /// Not an ISO 4217 code.
    #[error("{0:?} is not an ISO 4217 currency code")]
    UnknownCurrency(String),
}

impl Money {
    /// That many minor units.
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Nothing of that currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The sum of both.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch(self.currency, other.currency));
        }
        let amount = self.amount.checked_add(other.amount).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(amount, self.currency))
    }

    /// That many times the amount.
    pub fn times(self, quantity: u32) -> Result<Self, MoneyError> {
        let amount = self.amount.checked_mul(i64::from(quantity)).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(amount, self.currency))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        if exponent == 0 {
            return write!(f, "{} {}", self.amount, self.currency);
        }
        let unit = 10_u64.pow(exponent);
        let (sign, amount) = (if self.amount < 0 { "-" } else { "" }, self.amount.unsigned_abs());
        let width = exponent as usize;
        write!(f, "{sign}{}.{:0width$} {}", amount / unit, amount % unit, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn overflow_and_mixed_currencies_are_errors() {
        let most = Money::new(i64::MAX, Currency::EUR);
        assert_eq!(most.plus(Money::new(1, Currency::EUR)), Err(MoneyError::Overflow));
        assert_eq!(most.times(2), Err(MoneyError::Overflow));
        let usd: Currency = "USD".parse().unwrap();
        assert!(matches!(
            most.plus(Money::zero(usd)),
            Err(MoneyError::CurrencyMismatch(Currency::EUR, _))
        ));
    }

    #[test]
    fn unknown_codes_are_refused() {
        // Three letters that are no code, and codes of what nothing is priced in: none, tests, gold, funds, drawing rights.
        for text in
            ["", "eur", "EURO", "€", "E\0R", "ABC", "XXX", "XTS", "XAU", "CHE", "CLF", "XDR"]
        {
            assert!(text.parse::<Currency>().is_err(), "{text:?}");
            assert!(serde_json::from_value::<Currency>(serde_json::json!(text)).is_err());
        }
    }

    #[test]
    fn every_currency_is_read_written_and_counted_in() {
        let all = Currency::all();
        assert!(all.is_sorted() && all.len() > 150, "{all:?}");
        for currency in all {
            let code = currency.as_str();
            assert_eq!(code.parse(), Ok(currency));
            assert_eq!(serde_json::from_value(serde_json::json!(code)).ok(), Some(currency));
            let digits = currency.exponent();
            assert!(digits <= 4, "{code}");
            let amount = Money::new(10_i64.pow(digits), currency).to_string();
            let zeros = "0".repeat(usize::try_from(digits).unwrap());
            let dot = if digits > 0 { "." } else { "" };
            assert_eq!(amount, format!("1{dot}{zeros} {code}"));
        }
    }

    #[test]
    fn new_and_withdrawn_currencies_are_known() {
        // XCG took the place of ANG in 2025, the euro that of BGN in 2026: shops in both are there.
        let digits = |code: &str| code.parse::<Currency>().map(Currency::exponent);
        let expected = [
            ("XCG", 2),
            ("ANG", 2),
            ("BGN", 2),
            ("SLE", 2),
            ("ZWG", 2),
            ("VES", 2),
            ("CHF", 2),
            ("JPY", 0),
            ("KRW", 0),
            ("CLP", 0),
            ("XOF", 0),
            ("ISK", 0),
            ("KWD", 3),
            ("TND", 3),
        ];
        for (code, exponent) in expected {
            assert_eq!(digits(code), Ok(exponent), "{code}");
        }
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        let money = |amount, code: &str| Money::new(amount, code.parse().unwrap()).to_string();
        assert_eq!(money(1999, "EUR"), "19.99 EUR");
        assert_eq!(money(-5, "EUR"), "-0.05 EUR");
        assert_eq!(money(500, "JPY"), "500 JPY");
        assert_eq!(money(1234, "KWD"), "1.234 KWD");
    }

    proptest! {
        #[test]
        fn times_is_repeated_addition(amount in -1_000_000_i64..1_000_000, n in 0_u32..50) {
            let one = Money::new(amount, Currency::EUR);
            let sum = (0..n).try_fold(Money::zero(Currency::EUR), |sum, _| sum.plus(one));
            prop_assert_eq!(one.times(n), sum);
        }
    }
}
