//! On which nodes pods run. The fields are a pod's own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// On which nodes pods run. The fields are those of a pod: `kubectl explain pod.spec`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Labels of the nodes that the pods may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_values")]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Option<Vec<Toleration>>,

    /// Nodes and other pods that the pods prefer, need or avoid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::affinity")]
    pub affinity: Option<Affinity>,

    /// Name of the priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub priority_class_name: Option<String>,

    /// How the pods are spread over nodes or zones. One without `labelSelector` is about the pods of the same service or
    /// engine. Default: services over nodes, where these allow it. Jobs are not spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::topology_spread_constraints")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
}

impl Scheduling {
    /// These settings, and of those that are absent the defaults. An empty one is not absent.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        fn either<T: Clone>(own: Option<&T>, default: Option<&T>) -> Option<T> {
            own.or(default).cloned()
        }
        Self {
            node_selector: either(self.node_selector.as_ref(), defaults.node_selector.as_ref()),
            tolerations: either(self.tolerations.as_ref(), defaults.tolerations.as_ref()),
            affinity: either(self.affinity.as_ref(), defaults.affinity.as_ref()),
            priority_class_name: either(
                self.priority_class_name.as_ref(),
                defaults.priority_class_name.as_ref(),
            ),
            topology_spread_constraints: either(
                self.topology_spread_constraints.as_ref(),
                defaults.topology_spread_constraints.as_ref(),
            ),
        }
    }
}
