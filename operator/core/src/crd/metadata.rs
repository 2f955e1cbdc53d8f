//! Labels and annotations that are passed on.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Labels and annotations of pods, beside those of the operator.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// Labels, e.g. of a team, a cost centre or a service mesh.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub labels: BTreeMap<String, String>,

    /// Annotations, e.g. `cluster-autoscaler.kubernetes.io/safe-to-evict`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
}

impl PodMetadata {
    /// These, and the defaults of other keys.
    #[must_use]
    pub fn over(&self, defaults: &Self) -> Self {
        let mut all = defaults.clone();
        all.labels.extend(self.labels.clone());
        all.annotations.extend(self.annotations.clone());
        all
    }
}
