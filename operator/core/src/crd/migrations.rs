//! How migrations of the shop's databases run.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::empty;

/// How migrations of the shop's databases run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Migrations {
    /// Seconds that the migration of one service may take, with all its attempts; then its Job fails, Postgres takes back what is not
    /// committed, and the old pods keep serving. A change counts for Jobs that run too, from their start: raise it to let one finish.
    #[serde(default = "default_active_deadline_seconds")]
    #[schemars(range(min = 60, max = 604_800))]
    pub active_deadline_seconds: i64,
}

fn default_active_deadline_seconds() -> i64 {
    900
}

impl Default for Migrations {
    fn default() -> Self {
        empty()
    }
}
