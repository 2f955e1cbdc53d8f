//! What the operator has seen and done.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{BackupStatus, Restored, RolloutStatus, ServiceName};

/// What the operator has seen and done.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Version that the services run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,

    /// Where shoppers reach the shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,

    /// Name of the Secret with the first administrator's e-mail address and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_secret: Option<String>,

    /// Ready services of all services, e.g. `9/9`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_services: Option<String>,

    /// Kind and state of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,

    /// Kind and state of the event broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<String>,

    /// Id of the Kafka cluster that somebody else runs and the shop's topics are in. Another Shop with
    /// the same `topics.prefix` is refused there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka_cluster_id: Option<String>,

    /// Services whose database has the schema of their image, of those with a database, e.g. `7/7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<String>,

    /// Databases whose data were lost. Nothing after the annotation `shop-operator.io/acknowledge-data-loss` was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_loss: Option<DataLoss>,

    /// What became of backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,

    /// What the databases were filled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,

    /// State of each service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub services: Vec<ServiceStatus>,

    /// New versions of services that have not taken over yet, or were taken back, of services with the strategy
    /// `Canary` or `BlueGreen`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rollouts: Vec<RolloutStatus>,

    /// What holds of the shop. `Ready` sums up: it is true exactly when a shopper can buy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Databases that were found missing or empty although the shop had data in them.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataLoss {
    /// The server.
    pub engine: String,

    /// Names of the databases.
    #[schemars(length(max = 32))]
    pub databases: Vec<String>,

    /// When that was noticed.
    pub time: Time,
}

/// State of one service.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Name of the service.
    pub name: ServiceName,

    /// Image that the service should run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// Ready pods of that image.
    #[serde(default)]
    pub ready_replicas: i32,

    /// Pods that there should be.
    #[serde(default)]
    pub desired_replicas: i32,

    /// Image whose migrations the service's database has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrated_image: Option<String>,

    /// Whether the service's demo data was written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seeded: bool,
}
