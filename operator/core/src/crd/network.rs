//! Network rules between the parts of a shop, and to what is outside.

use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{empty, schema, yes};

/// Network rules between the parts of the shop.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicies {
    /// Denies all traffic of the shop's pods but the connections they need.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Where pods look names up.
    #[serde(default)]
    pub dns: Dns,

    /// What all pods of the shop may connect to besides. The fields are those of a NetworkPolicy:
    /// `kubectl explain networkpolicy.spec.egress`. Policies see the pods behind a Service: one that maps its port to another needs
    /// that one here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::egress")]
    pub additional_egress: Vec<NetworkPolicyEgressRule>,
}

impl Default for NetworkPolicies {
    fn default() -> Self {
        empty()
    }
}

/// Where pods look names up.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dns {
    /// Ports of DNS servers at any address, e.g. of a cache on each node. Every port of the cluster's own DNS pods is
    /// open in any case: those of `kube-system` with the label `k8s-app`, and those of `openshift-dns`. Default: 53.
    #[serde(default = "default_ports")]
    #[schemars(length(max = 8), inner(range(min = 1, max = 65535)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ports: Vec<u16>,
}

fn default_ports() -> Vec<u16> {
    vec![53]
}

impl Default for Dns {
    fn default() -> Self {
        empty()
    }
}
