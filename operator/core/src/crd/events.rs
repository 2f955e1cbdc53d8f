//! The Kafka cluster of a shop, and the topics in it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BundledEngine, CredentialsSecretRef, empty};

/// The Kafka cluster of the shop.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bundled) != has(self.external)")
        .message("exactly one of bundled and external must be set"),
    validation = Rule::new("!(has(self.bundled) && has(oldSelf.external)) && !(has(self.external) && has(oldSelf.bundled))")
        .message("the kind of event broker cannot be changed, because undelivered events would stay behind: create another Shop with the new kind"),
)]
pub struct Events {
    /// A single Kafka broker in the shop's namespace: for a laptop, a demo or a small shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<BundledEngine>,

    /// A Kafka cluster that somebody else runs. The operator makes the shop's topics in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEvents>,
}

impl Default for Events {
    fn default() -> Self {
        Self { bundled: Some(BundledEngine::default()), external: None }
    }
}

/// A Kafka cluster that somebody else runs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.bootstrapServers.exists(server, server in oldSelf.bootstrapServers) || (has(self.dataMovedFrom) && self.dataMovedFrom in oldSelf.bootstrapServers)")
        .message("bootstrapServers cannot all be changed at once while undelivered events are in the old cluster: keep one of them, or move the topics and set dataMovedFrom to one of the old servers"),
    validation = Rule::new("!has(self.dataMovedFrom) || !(self.dataMovedFrom in self.bootstrapServers)")
        .message("dataMovedFrom is one of the old servers: it is set with the change and not before"),
)]
pub struct ExternalEvents {
    /// Brokers to ask for the cluster's members, each as `host:port`.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 3, max = 259), regex(pattern = r"^[A-Za-z0-9.-]+:[0-9]{1,5}$"))
    )]
    pub bootstrap_servers: Vec<String>,

    /// Confirms that all `bootstrapServers` are others: one of the old ones, whose topics have been moved to the new cluster, or
    /// which is in the same cluster. It may stay here afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 259))]
    pub data_moved_from: Option<String>,

    /// Encryption and authentication.
    #[serde(default)]
    pub security: KafkaSecurity,
}

/// Encryption and authentication of connections to Kafka.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.protocol.startsWith('SASL_') ? has(self.mechanism) && has(self.secretRef) : !has(self.mechanism) && !has(self.secretRef)")
    .message("mechanism and secretRef are required with a SASL protocol and forbidden without one"))]
pub struct KafkaSecurity {
    /// Protocol of the listener.
    #[serde(default)]
    pub protocol: SecurityProtocol,

    /// SASL mechanism.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<SaslMechanism>,

    /// SASL user name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<CredentialsSecretRef>,
}

/// Protocol of a Kafka listener; the names are Kafka's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// Encrypted.
    Ssl,
    /// Authenticated.
    SaslPlaintext,
    /// Encrypted and authenticated.
    SaslSsl,
}

impl SecurityProtocol {
    /// Whether clients log in.
    pub const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// The value of librdkafka's `security.protocol`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

/// SASL mechanism; the names are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// The password is sent as it is.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Challenge and response with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Challenge and response with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// The value of librdkafka's `sasl.mechanism`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// How the shop's Kafka topics are made.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.prefix) == has(oldSelf.prefix) && (!has(self.prefix) || self.prefix == oldSelf.prefix)")
    .message("prefix cannot be changed, because undelivered events would stay in the old topics: create another Shop with the new prefix"))]
pub struct Topics {
    /// First part of every topic's name. Default: `<namespace>.<name of the shop>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub prefix: Option<String>,

    /// Whether topics of these names that exist in an external Kafka, and that this Shop did not make, become its own:
    /// they get the settings below, and go with the Shop under `deletionPolicy: Delete`. Without it they are refused.
    /// Those that a deleted Shop of this name and namespace has left are its own in any case.
    #[serde(default)]
    pub adopt_existing: bool,

    /// Partitions of a topic. The number may grow, which changes the order of events whose key
    /// moves to another partition; it cannot shrink.
    #[serde(default = "default_partitions")]
    #[schemars(range(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self >= oldSelf")
        .message("partitions cannot shrink, because Kafka cannot merge partitions: keep the number"))]
    pub partitions: i32,

    /// Brokers that keep a copy of a topic. Default: 1 with `events.bundled`, 3 with `events.external`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("replicationFactor cannot be changed here: reassign the partitions with Kafka's own tools"))]
    pub replication_factor: Option<i32>,

    /// Hours that Kafka keeps an event for.
    #[serde(default = "default_retention_hours")]
    #[schemars(range(min = 1, max = 87600))]
    pub retention_hours: i32,
}

fn default_partitions() -> i32 {
    6
}

fn default_retention_hours() -> i32 {
    168
}

impl Default for Topics {
    fn default() -> Self {
        empty()
    }
}
