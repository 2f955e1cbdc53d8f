//! What a review is, what may be said in one, and what many add up to.

use chrono::{DateTime, Utc};
use contracts::events::ReviewPosted;
use contracts::{ProductId, ReviewId, UserId, text};
use kit::auth::{Caller, Role};
use kit::problem::{Fields, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest title, in characters.
const MAX_TITLE: usize = 200;
/// Longest text, in characters.
const MAX_TEXT: usize = 4000;
/// Longest text of a report, in characters.
const MAX_REPORT: usize = 1000;

/// Whether somebody has said something, and not too much.
fn said(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.trim().is_empty()
}

/// A review as whoever may see it sees it.
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
    /// What the seller has to say about it.
    pub answer: Option<Answer>,
    /// Whether only its author and administrators see it, and it does not count.
    pub hidden: bool,
    /// Grows by one with every change; send it as `If-Match`.
    pub version: i64,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When rating, title or text were last changed; an answer that is older was to another text.
    pub updated_at: DateTime<Utc>,
}

/// What the seller of the product says about a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Answer {
    /// What there is to say.
    pub text: String,
    /// Who says so: the seller, or an administrator.
    pub user_id: UserId,
    /// When it was first given.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Answer {
    /// Refuses what no answer may say.
    pub fn check(text: &str) -> Result<()> {
        let mut fields = Fields::default();
        fields.check(said(text, MAX_TEXT), "/text", format!("1 to {MAX_TEXT} characters"));
        fields.take("/text", text::lines(text));
        fields.finish()
    }
}

impl Review {
    /// Refuses what no review may be.
    pub fn check(&self) -> Result<()> {
        let mut fields = Fields::default();
        fields.check((1..=5).contains(&self.rating), "/rating", "from 1 to 5");
        let fits = |text: &str, most| (1..=most).contains(&text.chars().count());
        let titled = self.title.as_ref().is_none_or(|title| fits(title, MAX_TITLE));
        fields.check(titled, "/title", format!("1 to {MAX_TITLE} characters, or none"));
        fields.take("/title", self.title.as_deref().map_or(Ok(()), text::line));
        fields.check(said(&self.text, MAX_TEXT), "/text", format!("1 to {MAX_TEXT} characters"));
        fields.take("/text", text::lines(&self.text));
        fields.finish()
    }

    /// Whether its author and administrators alone see it, of whom the reader is none.
    pub fn is_hidden_from(&self, reader: Option<&Caller>) -> bool {
        let sees = |reader: &Caller| reader.user_id == self.user_id || reader.has(Role::Admin);
        self.hidden && !reader.is_some_and(sees)
    }

    /// What to tell others when it was written, or when it counts otherwise than before.
    pub fn posted(&self, tally: Tally) -> ReviewPosted {
        ReviewPosted {
            product_id: self.product_id,
            review_id: self.id,
            count: tally.count,
            sum: tally.sum,
            version: Some(tally.version),
        }
    }
}

/// What somebody finds wrong with a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = ReportReason)]
pub enum Reason {
    /// It advertises something.
    Spam,
    /// It insults, threatens or hates.
    Offensive,
    /// It is not about the product.
    OffTopic,
    /// It says what is not so.
    Untrue,
    /// It tells what somebody wants to keep to themselves.
    PersonalData,
    /// Something else, which the text says.
    Other,
}

/// What one person has said against a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// The report; later ones have greater ids.
    pub id: Uuid,
    /// The review.
    pub review_id: ReviewId,
    /// Who reports it.
    pub user_id: UserId,
    /// What is wrong with it.
    pub reason: Reason,
    /// More about that.
    pub text: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl Report {
    /// Refuses what no report may say.
    pub fn check(&self) -> Result<()> {
        let mut fields = Fields::default();
        let fits = self.text.as_ref().is_none_or(|text| said(text, MAX_REPORT));
        fields.check(fits, "/text", format!("1 to {MAX_REPORT} characters, or none"));
        fields.take("/text", self.text.as_deref().map_or(Ok(()), text::lines));
        let explained = self.reason != Reason::Other || self.text.is_some();
        fields.check(explained, "/text", "needed for the reason other");
        fields.finish()
    }
}

/// A review that was reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reported {
    /// The review as it is now.
    pub review: Review,
    /// How many people have reported it.
    pub reports: i64,
    /// What they find wrong with it, each reason once.
    pub reasons: Vec<Reason>,
    /// The latest report.
    pub latest_report: Uuid,
}

/// What the reviews of a product that are not hidden add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of reviews.
    pub count: u32,
    /// Sum of their ratings.
    pub sum: u64,
    /// Grows with every change.
    pub version: i64,
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
    fn from(Tally { count, sum, .. }: Tally) -> Self {
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
        let average = |count, sum| Rating::from(Tally { count, sum, version: 1 }).average;
        assert_eq!(average(0, 0), None);
        assert_eq!(average(3, 13), Some(4.33));
        assert_eq!(average(3, 14), Some(4.67));
        assert_eq!(average(1, 5), Some(5.0));
        assert_eq!(average(u32::MAX, u64::from(u32::MAX) * 5), Some(5.0));
    }
}
