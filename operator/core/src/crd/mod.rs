//! The `Shop` resource: its types, defaults, CEL rules and printer columns. Nothing here does I/O.
//!
//! What the API server can judge alone stands here as a bound or a CEL rule; what needs other
//! objects or the operator's configuration is judged by [`crate::validate`].

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, `pub` and all, into a function"
)]

mod backup;
mod engines;
mod events;
mod gateway;
mod limits;
mod metadata;
mod migrations;
mod network;
mod objects;
mod payments;
mod rollout;
mod scheduling;
mod schema;
mod search;
mod services;
mod sms;
mod status;
mod variables;

pub use backup::{Backup, BackupStatus, FailedBackup, RestoreFrom, Restored, SuccessfulBackup};
pub use engines::{
    BundledEngine, BundledMail, Cache, CredentialsSecretRef, Database, DatabaseAddress,
    ExternalCache, ExternalDatabase, ExternalMail, Mail, SecretKeyRef, SslMode, Storage,
};
pub use events::{Events, ExternalEvents, KafkaSecurity, SaslMechanism, SecurityProtocol, Topics};
pub use gateway::{Gateway, HttpRoute, Ingress, ParentRef, Service, ServiceType, TrafficPolicy};
pub use limits::Limits;
pub use metadata::PodMetadata;
pub use migrations::Migrations;
pub use network::{Dns, NetworkPolicies};
pub use objects::{BucketAddress, ExternalObjectStore, ObjectStore, ObjectStoreSecretRef};
pub use payments::{Payments, Stripe, StripeSecretRef};
pub use rollout::{
    BlueGreenSettings, CanarySettings, CanaryStep, PodCounters, Rollout, RolloutReason,
    RolloutState, RolloutStatus, RolloutStrategy,
};
pub use scheduling::Scheduling;
pub use schema::{definition, yaml};
pub use search::Search;
pub use services::{Autoscaling, DisruptionBudget, Resources, ServiceName, ServiceSpec};
pub use sms::{Sms, TokenSecretRef};
pub use status::{DataLoss, ServiceStatus, ShopStatus};
pub use variables::{EnvKeySelector, EnvVar, EnvVarSource};

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The value of an empty object, so that a type's defaults are written once: on its fields.
fn empty<T: DeserializeOwned>() -> T {
    serde_json::from_str("{}").expect("every field of a defaulted type has a default")
}

fn yes() -> bool {
    true
}

/// What the shop should be. Every field has a default; an empty spec is a working store.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "shop-operator.io",
    version = "v1alpha1",
    kind = "Shop",
    plural = "shops",
    shortname = "shp",
    namespaced,
    status = "ShopStatus",
    derive = "PartialEq",
    doc = "An online store: its services, databases, cache, event topics, and everything around them.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether a shopper can buy"
    ),
    printcolumn(
        name = "UpToDate",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="UpToDate")].status"#,
        description = "Whether what runs is what the spec asks for"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why the shop is ready, or is not"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "Version that the services run"
    ),
    printcolumn(
        name = "Services",
        type_ = "string",
        json_path = ".status.readyServices",
        description = "Ready services of all services"
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        json_path = ".status.url",
        description = "Where shoppers reach the shop"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Database",
        type_ = "string",
        json_path = ".status.database",
        description = "Kind and state of the database",
        priority = 1
    ),
    printcolumn(
        name = "Events",
        type_ = "string",
        json_path = ".status.events",
        description = "Kind and state of the event broker",
        priority = 1
    ),
    printcolumn(
        name = "Migrations",
        type_ = "string",
        json_path = ".status.migrations",
        description = "Services whose database has the schema of their image",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        description = "What the shop waits for",
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 30")
        .message("the name of a shop starts with a letter, has only lower-case letters, digits and hyphens, and at most 30 of them, because the names of its objects begin with it")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.host) || !has(self.gateway) || !(has(self.gateway.ingress) || has(self.gateway.httpRoute))")
        .message("host is required when gateway.ingress or gateway.httpRoute is set").field_path(".host"),
    validation = Rule::new("has(self.restoreFrom) == has(oldSelf.restoreFrom) && (!has(self.restoreFrom) || self.restoreFrom == oldSelf.restoreFrom)")
        .message("restoreFrom cannot be changed, because a shop is filled once, when it is new: create another Shop from the backup"),
)]
pub struct ShopSpec {
    /// Version of the services: the tag of their images. Default: the operator's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"))]
    pub version: Option<String>,

    /// Public DNS name of the shop, e.g. `shop.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub host: Option<String>,

    /// ISO 4217 code of the currency that prices are in. It cannot be changed: the amounts in the
    /// databases are in it.
    #[serde(default = "default_currency")]
    #[schemars(schema_with = "schema::currency")]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("currency cannot be changed, because stored amounts are in it: create another Shop with the new currency"))]
    pub currency: String,

    /// Fills the shop with demo products and stock, once.
    #[serde(default)]
    pub demo_data: bool,

    /// What becomes of volumes, databases, topics and credentials when the Shop is deleted: what stands here then decides.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Where the images of the services come from.
    #[serde(default)]
    pub images: Images,

    /// The Postgres server of the shop. Exactly one member is set; default: `bundled`.
    #[serde(default)]
    pub database: Database,

    /// The Redis server of the shop. Exactly one member is set; default: `bundled`.
    #[serde(default)]
    pub cache: Cache,

    /// The Kafka cluster of the shop. Exactly one member is set; default: `bundled`.
    #[serde(default)]
    pub events: Events,

    /// The object store of the shop. Exactly one member is set; default: `bundled`.
    #[serde(default)]
    pub object_store: ObjectStore,

    /// Backups of the shop's databases in its object store. Absent: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,

    /// The backup that the shop begins with. Its databases must be empty: nothing is ever overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_from: Option<RestoreFrom>,

    /// How migrations of the shop's databases run.
    #[serde(default)]
    pub migrations: Migrations,

    /// How the shop's Kafka topics are made.
    #[serde(default)]
    pub topics: Topics,

    /// How the shop sends e-mail. At most one member is set; default: `bundled`.
    #[serde(default)]
    pub mail: Mail,

    /// Where e-mails to the shop's staff go, e.g. about disputed payments. Default: the first administrator's address, which
    /// is in the Secret `<shop>-admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s<>]+@[^@\s<>]+$"))]
    pub staff_email: Option<String>,

    /// How the shop sends short messages to shoppers who want them. Absent: it sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sms: Option<Sms>,

    /// Who moves the shoppers' money, beside store credit, which every shop has.
    #[serde(default)]
    pub payments: Payments,

    /// What shoppers may hold without paying.
    #[serde(default)]
    pub limits: Limits,

    /// How shoppers search.
    #[serde(default)]
    pub search: Search,

    /// The public entry of the shop.
    #[serde(default)]
    pub gateway: Gateway,

    /// Settings of single services, by name. A service that is not listed has its defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub services: Vec<ServiceSpec>,

    /// On which nodes all pods of the shop run: those of its services, engines and Jobs. Services, bundled engines and
    /// `backup` have the same fields, each in place of the one here.
    #[serde(default)]
    pub scheduling: Box<Scheduling>,

    /// Environment variables of all services, of their Jobs, and of those that back up and restore, e.g. `HTTPS_PROXY`: where
    /// a proxy is named, what is in the cluster is added to `NO_PROXY`. A service may have more, or others of the same names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,

    /// Labels and annotations of all pods of the shop. A service may have more, or others of the same keys.
    #[serde(default)]
    pub pod_metadata: Box<PodMetadata>,

    /// Logs, metrics and traces.
    #[serde(default)]
    pub observability: Observability,

    /// Network rules between the parts of the shop.
    #[serde(default)]
    pub network_policies: NetworkPolicies,
}

fn default_currency() -> String {
    "EUR".into()
}

impl Default for ShopSpec {
    fn default() -> Self {
        empty()
    }
}

/// What becomes of data when a Shop is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Volumes, databases, topics and credentials stay; a new Shop of that name adopts them.
    #[default]
    Retain,
    /// Volumes, databases, topics and credentials go with the Shop.
    Delete,
}

/// Where the images of the services come from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Images {
    /// Registry and path in front of `/<service>:<version>`. Default: set at the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?$")
    )]
    pub repository: Option<String>,

    /// When the kubelet pulls an image.
    #[serde(default)]
    pub pull_policy: PullPolicy,

    /// Names of Secrets of type `kubernetes.io/dockerconfigjson` in the shop's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub pull_secrets: Vec<String>,
}

/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// If the node does not have it.
    #[default]
    IfNotPresent,
    /// Before every start.
    Always,
    /// Never: the node must have it.
    Never,
}

/// Logs, metrics and traces.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observability {
    /// Creates ServiceMonitors where the API of prometheus-operator is installed.
    #[serde(default = "yes")]
    pub service_monitors: bool,

    /// Labels of the ServiceMonitor, as the selector of your Prometheus has them, e.g. `release: prometheus`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub service_monitor_labels: BTreeMap<String, String>,

    /// OTLP/gRPC endpoint that traces are sent to, e.g. `http://collector.monitoring:4317`. Absent: no traces are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^https?://[^\s/]+"))]
    pub otlp_endpoint: Option<String>,

    /// Log filter of all services, e.g. `info` or `info,sqlx=warn`.
    #[serde(default = "default_log_level")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9_:=,.-]+$"))]
    pub log_level: String,
}

fn default_log_level() -> String {
    "info".into()
}

impl Default for Observability {
    fn default() -> Self {
        empty()
    }
}
