//! How shoppers search.

use contracts::search::SearchLanguage;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{empty, schema};

/// How shoppers search.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// Language of most names and descriptions: words are found in their other forms, and words like `the` are ignored. `simple`
    /// does neither. After a change products are indexed again, while the shop sells.
    #[serde(default = "default_language")]
    #[schemars(schema_with = "schema::search_language")]
    pub language: String,
}

fn default_language() -> String {
    SearchLanguage::default().as_str().into()
}

impl Default for Search {
    fn default() -> Self {
        empty()
    }
}
