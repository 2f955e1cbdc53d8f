//! What a review is, what may be said in one, and what many add up to.

use chrono::{DateTime, Utc};
use contracts::events::ReviewPosted;
use contracts::{ProductId, ReviewId, UserId};
use kit::problem::{Fields, Result};
use serde::Serialize;
use utoipa::ToSchema;

/// Longest title, in characters.
const MAX_TITLE: usize = 200;
/// Longest text, in characters.
const MAX_TEXT: usize = 4000;

/// A review as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Review {
    /// The review.
    pub id: ReviewId,
    /// What it is about.
    pub product_id: ProductId,
    /// Who wrote it.
    pub user_id: UserId,
    /// From 1 to 5; more is better.
    pub rating: i16,
    /// A line above the text.
    pub title: Option<String>,
    /// What there is to say.
    pub text: String,
    /// Grows by one with every change; send it as `If-Match`.
    pub version: i64,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Review {
    /// Refuses what no review may be.
    pub fn check(&self) -> Result<()> {
        let mut fields = Fields::default();
        fields.check((1..=5).contains(&self.rating), "/rating", "from 1 to 5");
        let fits = |text: &str, most| (1..=most).contains(&text.chars().count());
        let titled = self.title.as_ref().is_none_or(|title| fits(title, MAX_TITLE));
        fields.check(titled, "/title", format!("1 to {MAX_TITLE} characters, or none"));
        let said = fits(&self.text, MAX_TEXT) && !self.text.trim().is_empty();
        fields.check(said, "/text", format!("1 to {MAX_TEXT} characters"));
        fields.finish()
    }

    /// What to tell others when it was written or changed.
    pub fn posted(&self, tally: Tally) -> ReviewPosted {
        ReviewPosted {
            product_id: self.product_id,
            review_id: self.id,
            count: tally.count,
            sum: tally.sum,
        }
    }
}

/// What the reviews of a product add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of reviews.
    pub count: u32,
    /// Sum of their ratings.
    pub sum: u64,
}

/// What shoppers think of a product.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Rating {
    /// Average of the ratings from 1 to 5, to two decimal places; null while there is none.
    pub average: Option<f64>,
    /// Number of ratings.
    pub count: u32,
}

impl From<Tally> for Rating {
    fn from(Tally { count, sum }: Tally) -> Self {
        // Hundredths are enough for stars, and small enough for a float to hold exactly.
        let hundredths = (sum * 100 + u64::from(count) / 2).checked_div(count.into());
        let hundredths = hundredths.and_then(|hundredths| u32::try_from(hundredths).ok());
        let average = hundredths.map(|hundredths| f64::from(hundredths) / 100.0);
        Self { average, count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_rounded_and_absent_without_ratings() {
        let average = |count, sum| Rating::from(Tally { count, sum }).average;
        assert_eq!(average(0, 0), None);
        assert_eq!(average(3, 13), Some(4.33));
        assert_eq!(average(3, 14), Some(4.67));
        assert_eq!(average(1, 5), Some(5.0));
        assert_eq!(average(u32::MAX, u64::from(u32::MAX) * 5), Some(5.0));
    }
}
