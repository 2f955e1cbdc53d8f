//! How the gateway shares requests between two versions of a service. The operator writes it, the gateway reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Name of the file.
pub const FILE: &str = "weights.json";

/// The services of which there are two versions, by name; the others get all of their requests.
pub type Weights = BTreeMap<String, Weight>;

/// The share of a service's new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Percent of the requests.
    pub percent: u8,
    /// URL of the new version's HTTP port, e.g. `http://demo-catalog-canary:8080`.
    pub url: String,
}
