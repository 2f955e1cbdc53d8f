//! Backups of a shop's databases, and a new shop from one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Scheduling, empty};

/// Backups of the databases of all services, in the shop's object store under `backups/`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// When backups are made, in UTC, as cron says it: minute, hour, day of the month, month, day of the week.
    #[serde(default = "default_schedule")]
    #[schemars(length(min = 9, max = 100), regex(pattern = r"^[0-9*/,-]+( [0-9*/,-]+){4}$"))]
    pub schedule: String,

    /// Stops the schedule. What the annotation `shop-operator.io/backup` asks for is made all the same.
    #[serde(default)]
    pub suspend: bool,

    /// How many backups are kept. Older ones are deleted when a new one has been stored.
    #[serde(default = "default_keep")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep: u16,

    /// Image that has `pg_dump` and `pg_restore`, no older than the Postgres server. Default: the bundled Postgres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub tools_image: Option<String>,

    /// On which nodes the Jobs that back up and restore run. Default: `spec.scheduling`.
    #[serde(flatten)]
    pub scheduling: Box<Scheduling>,
}

fn default_schedule() -> String {
    "0 3 * * *".into()
}

fn default_keep() -> u16 {
    7
}

impl Default for Backup {
    fn default() -> Self {
        empty()
    }
}

/// The backup that a new shop's databases are filled from, before anything else is written to them.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreFrom {
    /// Name of the backup, as the status of its shop has it.
    #[schemars(length(min = 21, max = 21), regex(pattern = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}$"))]
    pub backup: String,

    /// Name of the shop that it is a backup of. With `objectStore.bundled` its object store is in this
    /// namespace, runs, and lets this shop in as long as the other has `backup`; with `objectStore.external` the
    /// backup is in the same bucket as this shop's objects.
    #[schemars(length(min = 1, max = 30), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub shop: String,

    /// Namespace of that shop. Default: this shop's own. Only with `objectStore.external`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// What became of backups.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// The newest backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful: Option<SuccessfulBackup>,

    /// The newest backup that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailedBackup>,

    /// The last value of the annotation `shop-operator.io/backup` that has been answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<String>,
}

/// A backup.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuccessfulBackup {
    /// Its name; nothing if nobody could ask for it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// When it was complete.
    pub time: Time,

    /// Bytes of its dumps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}

/// A backup that failed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedBackup {
    /// The Job that failed.
    pub job: String,

    /// When.
    pub time: Time,

    /// Why.
    pub message: String,
}

/// What the databases were filled from.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// Name of the backup.
    pub backup: String,

    /// Namespace and name of the shop that it is a backup of.
    pub shop: String,

    /// When that was done.
    pub time: Time,
}
