//! Where parcels go.

use chrono::{DateTime, Utc};
use contracts::Phone;
use kit::problem::{Fields, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Most addresses of one account.
pub const MOST: i64 = 50;
/// Longest line, in characters.
const MAX_LINE: usize = 200;
/// Longest postal code, in characters.
const MAX_CODE: usize = 20;

/// Where a parcel goes, as its owner says it. Countries write addresses in many ways: only what all of them
/// have is required.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Who receives it.
    #[schema(min_length = 1, max_length = 200, example = "Ada Lovelace")]
    pub recipient: String,
    /// Street and number.
    #[schema(min_length = 1, max_length = 200, example = "12 St James's Square")]
    pub line1: String,
    /// Whatever else leads there.
    #[schema(min_length = 1, max_length = 200)]
    pub line2: Option<String>,
    /// Town.
    #[schema(min_length = 1, max_length = 200, example = "London")]
    pub city: String,
    /// State, province or county.
    #[schema(min_length = 1, max_length = 200)]
    pub region: Option<String>,
    /// Postal code.
    #[schema(min_length = 1, max_length = 20, example = "SW1Y 4JH")]
    pub postal_code: Option<String>,
    /// Country, by ISO 3166-1 alpha-2.
    #[schema(pattern = "^[A-Z]{2}$", example = "GB")]
    pub country: String,
    /// For the carrier's questions: a telephone number, with its country's code or as it is dialled in the country of the
    /// address, with an extension or without. Kept as it is typed.
    #[schema(min_length = 5, max_length = 40, example = "+44 20 7946 0018 ext. 12")]
    pub phone: Option<String>,
    /// Whether it is chosen unless said otherwise. One is: the first one, until another is.
    #[serde(default)]
    pub is_default: bool,
}

impl Place {
    /// Refuses what nothing can be sent to.
    pub fn check(&self) -> Result<()> {
        let mut fields = Fields::default();
        let lines = [
            ("/recipient", Some(&self.recipient), MAX_LINE),
            ("/line1", Some(&self.line1), MAX_LINE),
            ("/line2", self.line2.as_ref(), MAX_LINE),
            ("/city", Some(&self.city), MAX_LINE),
            ("/region", self.region.as_ref(), MAX_LINE),
            ("/postal_code", self.postal_code.as_ref(), MAX_CODE),
        ];
        for (pointer, text, most) in lines {
            let Some(text) = text else { continue };
            let fits = (1..=most).contains(&text.chars().count()) && !text.trim().is_empty();
            fields.check(fits, pointer, format!("1 to {most} characters in one line"));
            fields.take(pointer, contracts::text::line(text));
        }
        if let Some(phone) = &self.phone {
            fields.take("/phone", phone.parse::<Phone>());
        }
        let country = contracts::country::is_country(&self.country);
        let detail = "two capital letters of a country of today (ISO 3166-1 alpha-2)";
        fields.check(country, "/country", detail);
        fields.finish()
    }
}

/// An address of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Address {
    /// Its id.
    pub id: Uuid,
    /// Who receives a parcel.
    pub recipient: String,
    /// Street and number.
    pub line1: String,
    /// Whatever else leads there.
    pub line2: Option<String>,
    /// Town.
    pub city: String,
    /// State, province or county.
    pub region: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// Country, by ISO 3166-1 alpha-2.
    pub country: String,
    /// For the carrier's questions.
    pub phone: Option<String>,
    /// Whether it is chosen unless said otherwise.
    pub is_default: bool,
    /// Grows by one with every change; send it as `If-Match`.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            recipient: "Ada".to_owned(),
            line1: "12 St James's Square".to_owned(),
            line2: None,
            city: "London".to_owned(),
            region: None,
            postal_code: Some("SW1Y 4JH".to_owned()),
            country: "GB".to_owned(),
            phone: None,
            is_default: false,
        }
    }

    #[test]
    fn what_nothing_can_be_sent_to_is_refused() {
        assert!(place().check().is_ok());
        for bad in [
            Place { recipient: " ".to_owned(), ..place() },
            Place { line1: String::new(), ..place() },
            Place { line2: Some("a\nb".to_owned()), ..place() },
            Place { city: "x".repeat(201), ..place() },
            Place { postal_code: Some("1".repeat(21)), ..place() },
            Place { city: "Lon\u{202E}don".to_owned(), ..place() },
            Place { country: "AN".to_owned(), ..place() },
            Place { country: "ZZ".to_owned(), ..place() },
            Place { country: "gb".to_owned(), ..place() },
            Place { country: "GBR".to_owned(), ..place() },
            Place { country: "ÄÖ".to_owned(), ..place() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn telephone_numbers_may_have_an_extension_and_must_be_numbers() {
        let with = |phone: &str| Place { phone: Some(phone.to_owned()), ..place() };
        for good in ["+44 20 7946 0018 ext. 1234", "020 7946 0018 x12", "+49 (0)30 / 123-456"] {
            assert!(with(good).check().is_ok(), "{good}");
        }
        for bad in ["", "ask at the door", "12", "+44 20 7946 0018 ext. desk", "+1234567890123456"]
        {
            assert!(with(bad).check().is_err(), "{bad}");
        }
    }
}
