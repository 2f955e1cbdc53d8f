//! What a letter brings along for its reader to give back.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A secret that only whoever reads an address's mails can know. It does not show itself in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct EmailToken(String);

impl EmailToken {
    /// The token of this text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Its text, for the letter.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmailToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailToken(…)")
    }
}
