//! Groups of products, which form trees.

use contracts::text;
use kit::problem::{Fields, Result};
use serde::Serialize;
use utoipa::ToSchema;

/// Longest slug and longest name, in characters.
const MAX_NAME: usize = 100;

/// A group of products; groups form trees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Category {
    /// What URLs and filters call it; it never changes.
    #[schema(example = "mugs")]
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// Slug of the category that it is part of; null at the root.
    pub parent: Option<String>,
    /// Grows by one with every change; send it as `If-Match`.
    pub version: i64,
}

impl Category {
    /// Refuses what no category may be, wherever it stands.
    pub fn check(&self) -> Result<()> {
        let mut fields = Fields::default();
        let detail =
            format!("1 to {MAX_NAME} lower-case letters and digits, with single hyphens between");
        fields.check(is_slug(&self.slug), "/slug", detail);
        let named = (1..=MAX_NAME).contains(&self.name.chars().count());
        let detail = format!("1 to {MAX_NAME} characters, no spaces around");
        fields.check(named && self.name.trim() == self.name, "/name", detail);
        fields.take("/name", text::line(&self.name));
        let apart = self.parent.as_ref() != Some(&self.slug);
        fields.check(apart, "/parent", "a category is no part of itself");
        fields.finish()
    }
}

fn is_slug(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.len() <= MAX_NAME && text.split('-').all(plain)
}
