//! What validation takes, beside the Shop.

use std::collections::{BTreeMap, BTreeSet};

use crate::crd::ServiceName;
use crate::credentials::{self, Content};

/// How the operator is configured, as far as it shapes a shop.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Registry and path in front of `/<service>:<version>`.
    pub image_repository: String,
    /// Version of the services of a Shop that names none.
    pub version: String,
    /// Images of the bundled engines.
    pub engine_images: EngineImages,
    /// Namespace of the operator's own pods, which reach bundled engines through the network policies.
    pub operator_namespace: String,
    /// Labels of the operator's own pods.
    pub operator_pod_labels: BTreeMap<String, String>,
    /// DNS domain of the cluster, e.g. `cluster.local`.
    pub cluster_domain: String,
}

/// Images of the bundled engines.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineImages {
    /// Postgres.
    pub postgres: String,
    /// Redis.
    pub redis: String,
    /// Kafka.
    pub kafka: String,
    /// Mail server for development.
    pub mail: String,
    /// Object store.
    pub objects: String,
}

/// What was read from the cluster before a Shop is judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Optional APIs that the cluster has.
    pub capabilities: Capabilities,
    /// The Secrets of [`referenced_secrets`](super::referenced_secrets) that exist, by name.
    pub secrets: BTreeMap<String, SecretFacts>,
    /// Image whose migrations each service's database has.
    pub migrated: BTreeMap<ServiceName, String>,
    /// Services whose demo data was written.
    pub seeded: BTreeSet<ServiceName>,
}

/// Optional APIs that the cluster has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `monitoring.coreos.com/v1 ServiceMonitor`.
    pub service_monitors: bool,
    /// `gateway.networking.k8s.io/v1 HTTPRoute`.
    pub http_routes: bool,
}

/// What the operator needs to know of a Secret, without its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFacts {
    /// Keys that have a value.
    pub keys: BTreeSet<String>,
    /// Keys whose value has a line break or another control character.
    pub broken: BTreeSet<String>,
    /// Hash of the content, which restarts pods when it changes.
    pub hash: String,
}

impl SecretFacts {
    /// The facts of a Secret with this content.
    pub fn of(content: &Content) -> Self {
        let keys = |has: fn(&str) -> bool| {
            content.iter().filter(|(_, value)| has(value)).map(|(key, _)| key.clone()).collect()
        };
        Self {
            keys: keys(|value| !value.is_empty()),
            broken: keys(|value| value.contains(char::is_control)),
            hash: credentials::hash(content),
        }
    }
}
