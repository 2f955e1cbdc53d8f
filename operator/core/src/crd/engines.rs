//! The engines that a shop stands on, but for Kafka: Postgres, Redis, and the mail server.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Resources, Scheduling, empty, schema};

/// The Postgres server of the shop.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bundled) != has(self.external)")
        .message("exactly one of bundled and external must be set"),
    validation = Rule::new("!(has(self.bundled) && has(oldSelf.external)) && !(has(self.external) && has(oldSelf.bundled))")
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
    validation = Rule::new("!(has(self.bundled) && has(oldSelf.external)) && !(has(self.external) && has(oldSelf.bundled))")
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

/// How the shop sends e-mail. Without a member it is `bundled`: unlike the other engines this one
/// may be exchanged, and a default that the API server wrote down would stay beside its successor.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.bundled) && has(self.external))")
        .message("bundled and external exclude each other"),
)]
pub struct Mail {
    /// A mail server that delivers nothing and shows what it got on a web page. For development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<BundledMail>,

    /// A mail server that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalMail>,
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

    /// On which nodes its pod runs. Default: `spec.scheduling`.
    #[serde(flatten)]
    pub scheduling: Box<Scheduling>,
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
#[x_kube(
    validation = Rule::new("(self.host == oldSelf.host && self.port == oldSelf.port) || (has(self.dataMovedFrom) && self.dataMovedFrom.host == oldSelf.host && self.dataMovedFrom.port == oldSelf.port)")
        .message("host and port cannot be changed while the data are at the old ones: move the databases, or see that there are none yet, and set dataMovedFrom to the old host and port"),
    validation = Rule::new("!has(self.dataMovedFrom) || self.dataMovedFrom.host != self.host || self.dataMovedFrom.port != self.port")
        .message("dataMovedFrom has the old host and port: it is set with the change and not before"),
)]
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

    /// Confirms a change of host or port: the old ones, whose databases have been moved to the new server, or which are the
    /// same server's. It may stay here afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_moved_from: Option<DatabaseAddress>,

    /// Credentials of a role that may create databases and roles.
    pub admin_secret_ref: CredentialsSecretRef,

    /// How the connection is encrypted.
    #[serde(default)]
    pub ssl_mode: SslMode,
}

/// Where a Postgres server is.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseAddress {
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
#[x_kube(validation = Rule::new("has(self.keyPrefix) == has(oldSelf.keyPrefix) && (!has(self.keyPrefix) || self.keyPrefix == oldSelf.keyPrefix)")
    .message("keyPrefix cannot be changed, because the shoppers' carts would stay behind: create another Shop with the new prefix"))]
pub struct ExternalCache {
    /// Where the server's URL is, e.g. `rediss://:password@host:6379`.
    pub secret_ref: SecretKeyRef,

    /// Port that the URL names, opened by the network policies. Where a Service maps it to another port of its pods, that one
    /// goes to `networkPolicies.additionalEgress`.
    #[serde(default = "default_redis_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,

    /// What stands before every key, so that shops which share the server do not meet. Default:
    /// `<namespace>.<name of the shop>:`. Empty where the server is this shop's alone. Nothing in
    /// Redis says whose a key is: two shops that are given one prefix there share their carts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z0-9._:-]*$"))]
    pub key_prefix: Option<String>,
}

fn default_redis_port() -> u16 {
    6379
}

/// A mail server for development.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundledMail {
    /// CPU and memory. Absent: enough for development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// On which nodes its pod runs. Default: `spec.scheduling`.
    #[serde(flatten)]
    pub scheduling: Box<Scheduling>,
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

    /// Sender of e-mails, e.g. `Demo <shop@example.com>` or `"Demo, Inc." <shop@example.com>`.
    #[schemars(length(min = 3, max = 320), regex(pattern = r"^[^\r\n]*@[^\r\n]*$"))]
    #[x_kube(validation = Rule::new(r#"self.matches('^ *(("([^"\\\\]|\\\\.)*"|[^"(),:;<>@\\[\\]\\\\])*<("[^"]+"|[^"(),:;<>@ \\[\\]\\\\]+)@[^"(),:;<>@ \\[\\]\\\\]+>|("[^"]+"|[^"(),:;<>@ \\[\\]\\\\]+)@[^"(),:;<>@ \\[\\]\\\\]+) *$')"#)
        .message("from is an address, or a name and an address: Shop <shop@example.com>; a name with any of ( ) < > [ ] : ; , @ is in double quotes: \"Shop (Berlin)\" <shop@example.com>"))]
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
