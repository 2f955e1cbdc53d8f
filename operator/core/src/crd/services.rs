//! Settings of single services.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvVar, PodMetadata, Rollout, Scheduling, schema, yes};

/// Name of a service.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ServiceName {
    /// The public entry.
    Gateway,
    /// Accounts and sessions.
    User,
    /// Products and search.
    Catalog,
    /// Carts.
    Cart,
    /// Orders.
    Order,
    /// Charges and refunds.
    Payment,
    /// Stock.
    Inventory,
    /// Reviews and ratings.
    Review,
    /// E-mail, SMS and live updates.
    Notification,
}

impl ServiceName {
    /// Every service.
    pub const ALL: [Self; 9] = [
        Self::Gateway,
        Self::User,
        Self::Catalog,
        Self::Cart,
        Self::Order,
        Self::Payment,
        Self::Inventory,
        Self::Review,
        Self::Notification,
    ];

    /// The word used in specs, object names, labels and images.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::User => "user",
            Self::Catalog => "catalog",
            Self::Cart => "cart",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Inventory => "inventory",
            Self::Review => "review",
            Self::Notification => "notification",
        }
    }

    /// The service of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.as_str() == name)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Settings of one service.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.enabled || self.name in ['review', 'notification']")
        .message("only review and notification can be disabled: a shop cannot sell without the others"),
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("replicas and autoscaling exclude each other"),
    validation = Rule::new("self.name != 'gateway' || !has(self.rollout) || self.rollout.strategy == 'RollingUpdate'")
        .message("the gateway itself can only be rolled out by RollingUpdate: it is what weighs requests, and nothing in front of it does")
        .field_path(".rollout"),
)]
pub struct ServiceSpec {
    /// Name of the service.
    pub name: ServiceName,

    /// Whether the shop has this service. Only `review` and `notification` can be disabled.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Number of pods. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// Lets the number of pods follow the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// Full name of the image, instead of `<repository>/<service>:<version>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"))]
    pub image: Option<String>,

    /// CPU and memory. Absent: enough for a small shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Log filter of this service. Default: `observability.logLevel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9_:=,.-]+$"))]
    pub log_level: Option<String>,

    /// On which nodes its pods and Jobs run. Default: `spec.scheduling`.
    #[serde(flatten)]
    pub scheduling: Box<Scheduling>,

    /// Environment variables of the service and its Jobs, beside `spec.env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,

    /// Labels and annotations of its pods, those of its Jobs too, beside `spec.podMetadata`.
    #[serde(default)]
    pub pod_metadata: Box<PodMetadata>,

    /// How many pods may be evicted at once, while there are two or more.
    #[serde(default)]
    pub disruption_budget: DisruptionBudget,

    /// How a new version takes over from the old one. Default: pod by pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

impl ServiceSpec {
    /// The settings of a service that the spec does not list.
    pub fn new(name: ServiceName) -> Self {
        Self {
            name,
            enabled: true,
            replicas: None,
            autoscaling: None,
            image: None,
            resources: None,
            log_level: None,
            scheduling: Box::default(),
            env: Vec::new(),
            pod_metadata: Box::default(),
            disruption_budget: DisruptionBudget::default(),
            rollout: None,
        }
    }
}

/// Bounds within which the number of pods follows the load.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("minReplicas must not exceed maxReplicas").field_path(".minReplicas"))]
pub struct Autoscaling {
    /// Fewest pods.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,

    /// Most pods.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,

    /// Average CPU use, in percent of the request, that the autoscaler aims at.
    #[serde(default = "default_target", rename = "targetCPUUtilizationPercentage")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: i32,
}

fn one() -> i32 {
    1
}

fn default_target() -> i32 {
    80
}

/// How many pods of a service may be evicted at once.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionBudget {
    /// Pods that may be missing because of evictions.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_unavailable: i32,
}

impl Default for DisruptionBudget {
    fn default() -> Self {
        super::empty()
    }
}

/// CPU and memory of a container.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the scheduler sets aside, e.g. `cpu: 100m`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, Quantity>,

    /// What the container cannot exceed, e.g. `memory: 256Mi`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, Quantity>,
}
