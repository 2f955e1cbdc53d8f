//! What validation gives.

use std::collections::BTreeMap;
use std::fmt;

use super::{BackupImages, Backups, Recipe, Restoration};
use crate::{
    components::Component,
    crd::{
        CredentialsSecretRef, EnvVar, ExternalObjectStore, Gateway, KafkaSecurity, Limits,
        Migrations, NetworkPolicies, Payments, PodMetadata, PullPolicy, Scheduling, Search,
        SecretKeyRef, ServiceName, Sms, SslMode, Storage,
    },
    names,
};
use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::apis::meta::v1::OwnerReference,
};

/// A Shop with everything resolved once.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedShop {
    /// Name of the Shop.
    pub name: String,
    /// Namespace of the Shop and of everything it owns.
    pub namespace: String,
    /// The controller reference that its children carry.
    pub owner: OwnerReference,
    /// Version of the services.
    pub version: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Public DNS name.
    pub host: Option<String>,
    /// Where shoppers reach the shop, without a slash at its end.
    pub url: String,
    /// When the kubelet pulls an image.
    pub pull_policy: PullPolicy,
    /// Names of the Secrets that images are pulled with.
    pub pull_secrets: Vec<String>,
    /// The Postgres server.
    pub database: DatabaseEngine,
    /// The Redis server.
    pub cache: CacheEngine,
    /// The Kafka cluster.
    pub events: EventsEngine,
    /// The object store.
    pub object_store: ObjectStoreEngine,
    /// How backups are made, if they are.
    pub backups: Option<Backups>,
    /// What the databases are filled from, if they are.
    pub restoration: Option<Restoration>,
    /// Images of the Jobs of both.
    pub backup_images: BackupImages,
    /// On which nodes they run.
    pub backup_scheduling: Box<Scheduling>,
    /// How migrations run.
    pub migrations: Migrations,
    /// How topics are made.
    pub topics: TopicSettings,
    /// The mail server.
    pub mail: MailEngine,
    /// Where e-mails to staff go; none: to the first administrator.
    pub staff_email: Option<String>,
    /// What was last asked for by the annotation that rotates the signing key.
    pub key_rotation: Option<String>,
    /// How the shop sends short messages, if it does.
    pub sms: Option<Sms>,
    /// Who moves the shoppers' money.
    pub payments: Payments,
    /// What shoppers may hold without paying.
    pub limits: Limits,
    /// How shoppers search.
    pub search: Search,
    /// The public entry.
    pub gateway: Gateway,
    /// The enabled services, in the order of [`COMPONENTS`](crate::components::COMPONENTS).
    pub services: Vec<ServiceInstance>,
    /// Whether ServiceMonitors are made: asked for, and their API is there.
    pub service_monitors: bool,
    /// Whether an HTTPRoute is made: asked for, and its API is there.
    pub http_route: bool,
    /// What was asked for and cannot be made.
    pub missing_apis: Vec<MissingApi>,
    /// Labels of ServiceMonitors.
    pub service_monitor_labels: BTreeMap<String, String>,
    /// Variables of Jobs that are no service's, beside their own.
    pub env: Vec<EnvVar>,
    /// Labels and annotations of pods.
    pub pod_metadata: Box<PodMetadata>,
    /// OTLP endpoint for traces.
    pub otlp_endpoint: Option<String>,
    /// Which network policies are made.
    pub network_policies: NetworkPolicies,
    /// Namespace of the operator's pods.
    pub operator_namespace: String,
    /// Labels of the operator's pods.
    pub operator_pod_labels: BTreeMap<String, String>,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Hashes of the Secrets that somebody else keeps, by name.
    pub external_secret_hashes: BTreeMap<String, String>,
}

impl ValidatedShop {
    /// The enabled service of that name.
    pub fn service(&self, name: ServiceName) -> Option<&ServiceInstance> {
        self.services.iter().find(|service| service.component.name == name)
    }

    /// Whether some service is rolled out in steps, beside its old version.
    pub fn rolls_out_in_steps(&self) -> bool {
        self.services.iter().any(|service| service.recipe.is_some())
    }

    /// Whether guests come through an Ingress or an HTTPRoute of the shop, hence by the addresses of its controller.
    pub fn is_behind_proxy(&self) -> bool {
        self.gateway.ingress.is_some() || self.gateway.http_route.is_some()
    }

    /// DNS name of the Service of one of the shop's components.
    pub fn host_of(&self, component: impl fmt::Display) -> String {
        names::host(&self.name, component, &self.namespace, &self.cluster_domain)
    }

    /// The domain that the shop's own e-mail addresses are in.
    pub fn mail_domain(&self) -> String {
        mail_domain(&self.name, self.host.as_deref())
    }
}

/// The domain of a shop's own e-mail addresses. `.example` can never be anybody's (RFC 2606).
pub(super) fn mail_domain(shop: &str, host: Option<&str>) -> String {
    host.map_or_else(|| format!("{shop}.example"), str::to_owned)
}

/// An API that a Shop asks for and the cluster does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingApi {
    /// `monitoring.coreos.com/v1 ServiceMonitor`.
    ServiceMonitor,
    /// `gateway.networking.k8s.io/v1 HTTPRoute`.
    HttpRoute,
}

impl MissingApi {
    /// Kind and group, as a person looks for them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceMonitor => "ServiceMonitor (monitoring.coreos.com/v1)",
            Self::HttpRoute => "HTTPRoute (gateway.networking.k8s.io/v1)",
        }
    }
}

/// A server that the operator runs in the shop's namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct BundledServer {
    /// Image.
    pub image: String,
    /// Volume.
    pub storage: Storage,
    /// CPU and memory.
    pub resources: ResourceRequirements,
    /// On which nodes its pod runs.
    pub scheduling: Box<Scheduling>,
}

/// The Postgres server of a shop.
#[derive(Clone, Debug, PartialEq)]
pub enum DatabaseEngine {
    /// In the shop's namespace.
    Bundled(BundledServer),
    /// Somebody else's.
    External {
        /// DNS name or address.
        host: String,
        /// Port.
        port: u16,
        /// Credentials that databases and roles are made with.
        admin: CredentialsSecretRef,
        /// Encryption.
        ssl_mode: SslMode,
    },
}

/// The Redis server of a shop.
#[derive(Clone, Debug, PartialEq)]
pub enum CacheEngine {
    /// In the shop's namespace.
    Bundled(BundledServer),
    /// Somebody else's.
    External {
        /// Where its URL is.
        url: SecretKeyRef,
        /// Port that the URL names.
        port: u16,
        /// What stands before every key.
        key_prefix: String,
    },
}

/// The Kafka cluster of a shop.
#[derive(Clone, Debug, PartialEq)]
pub enum EventsEngine {
    /// In the shop's namespace.
    Bundled(BundledServer),
    /// Somebody else's.
    External {
        /// Brokers to ask first, each as `host:port`.
        bootstrap_servers: Vec<String>,
        /// Encryption and authentication.
        security: KafkaSecurity,
    },
}

/// The mail server of a shop.
#[derive(Clone, Debug, PartialEq)]
pub enum MailEngine {
    /// In the shop's namespace; it delivers nothing.
    Bundled {
        /// Image.
        image: String,
        /// CPU and memory.
        resources: ResourceRequirements,
        /// On which nodes its pod runs.
        scheduling: Box<Scheduling>,
        /// Sender of e-mails.
        from: String,
    },
    /// Somebody else's.
    External {
        /// Where its URL is.
        url: SecretKeyRef,
        /// Port that the URL names.
        port: u16,
        /// Sender of e-mails.
        from: String,
    },
}

/// The object store of a shop.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectStoreEngine {
    /// In the shop's namespace.
    Bundled(BundledServer),
    /// Somebody else's.
    External(ExternalObjectStore),
}

/// How topics are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// First part of every topic's name.
    pub prefix: String,
    /// Partitions of a topic.
    pub partitions: i32,
    /// Brokers that keep a copy.
    pub replication_factor: i32,
    /// Milliseconds that an event is kept for.
    pub retention_ms: i64,
}

/// One enabled service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceInstance {
    /// Its row of the table.
    pub component: &'static Component,
    /// Full name of its image.
    pub image: String,
    /// Number of pods.
    pub scaling: Scaling,
    /// CPU and memory.
    pub resources: ResourceRequirements,
    /// Log filter.
    pub log_level: String,
    /// On which nodes its pods and Jobs run.
    pub scheduling: Box<Scheduling>,
    /// Variables of its pods and Jobs, beside their own.
    pub env: Vec<EnvVar>,
    /// Labels and annotations of its pods.
    pub pod_metadata: PodMetadata,
    /// Pods that may be evicted at once.
    pub max_unavailable: i32,
    /// How a new version takes over beside the old one; nothing if pods are replaced one by one.
    pub recipe: Option<Recipe>,
    /// Whether a migration Job is due: the service has a database without this image's schema.
    pub migration_due: bool,
    /// Whether a demo data Job is due.
    pub seed_due: bool,
}

/// Number of pods of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Always this many.
    Fixed(i32),
    /// Within bounds, by CPU use.
    Auto {
        /// Fewest pods.
        min: i32,
        /// Most pods.
        max: i32,
        /// CPU use to aim at, in percent of the request.
        cpu_percent: i32,
    },
}

impl Scaling {
    /// Fewest pods there will be.
    pub const fn min(self) -> i32 {
        match self {
            Self::Fixed(replicas) => replicas,
            Self::Auto { min, .. } => min,
        }
    }
}
