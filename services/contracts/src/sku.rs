//! Stock keeping units.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The code of one thing that can be in stock: 1 to 64 of `A-Z 0-9 . _ -`, first a letter or digit.
#[derive(
    Clone,
    Debug,
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
#[schema(value_type = String, pattern = "^[A-Z0-9][A-Z0-9._-]{0,63}$", example = "MUG-RED-03")]
pub struct Sku(String);

/// The text is no SKU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SKU has 1 to 64 characters of A-Z 0-9 . _ - and starts with a letter or digit")]
pub struct SkuError;

impl Sku {
    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Sku {
    type Error = SkuError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let alphanumeric = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit();
        let valid = text.len() <= 64
            && text.bytes().next().is_some_and(alphanumeric)
            && text.bytes().all(|c| alphanumeric(c) || matches!(c, b'.' | b'_' | b'-'));
        if valid { Ok(Self(text)) } else { Err(SkuError) }
    }
}

impl FromStr for Sku {
    type Err = SkuError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_codes_are_skus() {
        for good in ["A", "MUG-RED-03", "0.5L_X"] {
            assert!(good.parse::<Sku>().is_ok(), "{good}");
        }
        for bad in ["", "-A", "mug", "A B", "Ä", "A\0", &"A".repeat(65)] {
            assert!(bad.parse::<Sku>().is_err(), "{bad}");
        }
    }
}
