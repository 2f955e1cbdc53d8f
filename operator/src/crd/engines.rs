//! The engines that a shop keeps its state in: Postgres, Redis, Kafka, and the mail server.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Resources, empty, schema};

/// The Postgres server of the shop.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bundled) != has(self.external)")
        .message("exactly one of bundled and external must be set"),
    validation = Rule::new("has(self.bundled) == has(oldSelf.bundled)")
        .message("the kind of database cannot be changed, because the data would stay behind: create another Shop with the new kind and move the data"),
)]
pub struct Database {
    /// A single Postgres server in the shop's namespace: for a laptop, a demo or a small shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<BundledEngine>,

    /// A Postgres server that somebody else runs. The operator makes one database and one role per service in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalDatabase>,
}

impl Default for Database {
    fn default() -> Self {
        Self { bundled: Some(BundledEngine::default()), external: None }
    }
}

/// The Redis server of the shop. Carts live in it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bundled) != has(self.external)")
        .message("exactly one of bundled and external must be set"),
    validation = Rule::new("has(self.bundled) == has(oldSelf.bundled)")
        .message("the kind of cache cannot be changed, because the shoppers' carts would stay behind: create another Shop with the new kind"),
)]
pub struct Cache {
    /// A single Redis server in the shop's namespace: for a laptop, a demo or a small shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<BundledEngine>,

    /// A Redis server that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalCache>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { bundled: Some(BundledEngine::default()), external: None }
    }
}

/// The Kafka cluster of the shop.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bundled) != has(self.external)")
        .message("exactly one of bundled and external must be set"),
    validation = Rule::new("has(self.bundled) == has(oldSelf.bundled)")
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

/// How the shop sends e-mail.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bundled) != has(self.external)")
        .message("exactly one of bundled and external must be set"),
)]
pub struct Mail {
    /// A mail server that delivers nothing and shows what it got on a web page. For development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<BundledMail>,

    /// A mail server that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalMail>,
}

impl Default for Mail {
    fn default() -> Self {
        Self { bundled: Some(BundledMail::default()), external: None }
    }
}

/// One server with one volume in the shop's namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundledEngine {
    /// The volume that the data is on.
    #[serde(default)]
    pub storage: Storage,

    /// CPU and memory. Absent: enough for a small shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// A volume.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
    .message("storageClassName cannot be changed, because a volume keeps its class: create another Shop with the new class and move the data"))]
pub struct Storage {
    /// Size of the volume. It may grow if its storage class can expand volumes; it cannot shrink.
    #[serde(default = "default_size")]
    #[schemars(schema_with = "schema::size")]
    #[x_kube(validation = Rule::new("quantity(self).isGreaterThan(quantity('0'))").message("a volume has a size above zero"))]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0")
        .message("a volume cannot shrink: keep the size, or create another Shop with the new size and move the data"))]
    pub size: Quantity,

    /// Storage class of the volume. Absent: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

fn default_size() -> Quantity {
    Quantity("2Gi".into())
}

impl Default for Storage {
    fn default() -> Self {
        empty()
    }
}

/// A Postgres server that somebody else runs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalDatabase {
    /// DNS name or address of the server.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$")
    )]
    pub host: String,

    /// Port of the server.
    #[serde(default = "default_postgres_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,

    /// Credentials of a role that may create databases and roles.
    pub admin_secret_ref: CredentialsSecretRef,

    /// How the connection is encrypted.
    #[serde(default)]
    pub ssl_mode: SslMode,
}

fn default_postgres_port() -> u16 {
    5432
}

/// How a connection to Postgres is encrypted; the names are libpq's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server can.
    Prefer,
    /// Always; the server's certificate is not verified.
    #[default]
    Require,
}

impl SslMode {
    /// The value of libpq's `sslmode`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
        }
    }
}

/// A Redis server that somebody else runs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalCache {
    /// Where the server's URL is, e.g. `rediss://:password@host:6379`.
    pub secret_ref: SecretKeyRef,

    /// Port that the URL names, opened by the network policies.
    #[serde(default = "default_redis_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

fn default_redis_port() -> u16 {
    6379
}

/// A Kafka cluster that somebody else runs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEvents {
    /// Brokers to ask for the cluster's members, each as `host:port`.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 3, max = 259), regex(pattern = r"^[A-Za-z0-9.-]+:[0-9]{1,5}$"))
    )]
    pub bootstrap_servers: Vec<String>,

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

/// A mail server for development.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundledMail {
    /// CPU and memory. Absent: enough for development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// A mail server that somebody else runs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMail {
    /// Where the server's URL is, e.g. `smtps://user:password@host:465`.
    pub secret_ref: SecretKeyRef,

    /// Port that the URL names, opened by the network policies.
    #[serde(default = "default_smtp_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,

    /// Sender of e-mails, e.g. `Demo <shop@example.com>`.
    #[schemars(length(min = 3, max = 320), regex(pattern = r"^[^\r\n]*@[^\r\n]*$"))]
    pub from: String,
}

fn default_smtp_port() -> u16 {
    465
}

/// One key of a Secret in the shop's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key in the Secret.
    #[serde(default = "default_url_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub key: String,
}

fn default_url_key() -> String {
    "url".into()
}

/// A user name and a password in a Secret in the shop's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key of the user name.
    #[serde(default = "default_username_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub username_key: String,

    /// Key of the password.
    #[serde(default = "default_password_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub password_key: String,
}

fn default_username_key() -> String {
    "username".into()
}

fn default_password_key() -> String {
    "password".into()
}
