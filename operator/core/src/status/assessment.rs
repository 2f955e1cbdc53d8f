//! The state of every part of a shop, before it is put into words.

use serde_json::Value;

use super::reason::Reason;
use crate::child::Seen;
use crate::crd::{BackupStatus, DataLoss, Restored, RolloutStatus, ServiceName};
use crate::pods::PodProblem;
use crate::problem::Problem;
use crate::validate::ValidatedShop;

/// State of a part of the shop.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Part {
    /// Not looked at, because a step before it failed.
    #[default]
    Unknown,
    /// As it should be.
    Ready(Reason, String),
    /// On its way.
    Waiting(Reason, String),
    /// It needs somebody's help.
    Failed(Reason, String),
    /// The cluster cannot have it, and the shop sells without it.
    Missing(Reason, String),
}

impl Part {
    /// Whether it is as it should be.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(..))
    }

    /// The word for its state.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unknown => Reason::NotReached,
            Self::Ready(reason, _)
            | Self::Waiting(reason, _)
            | Self::Failed(reason, _)
            | Self::Missing(reason, _) => *reason,
        }
    }

    /// The sentence for its state.
    pub fn message(&self) -> &str {
        match self {
            Self::Unknown => "a step before this one failed",
            Self::Ready(_, text)
            | Self::Waiting(_, text)
            | Self::Failed(_, text)
            | Self::Missing(_, text) => text,
        }
    }
}

/// Whether a service's database has the schema of its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// The Job cannot run before the database is there.
    WaitsForDatabase,
    /// The Job runs, or is stopped by the pause.
    Running,
    /// It has.
    Applied,
    /// The Job failed.
    Failed {
        /// Name of the Job.
        job: String,
        /// Last line of its log.
        line: String,
    },
}

/// Whether a service has its demo data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DemoData {
    /// The Shop does not ask for it, or this service has none.
    #[default]
    NotWanted,
    /// The Job runs, or waits for the migration.
    Due,
    /// It was written.
    Written,
    /// The Job failed.
    Failed {
        /// Name of the Job.
        job: String,
    },
}

/// How far a Deployment is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Pods that there should be.
    pub desired: i32,
    /// Ready pods of the desired state.
    pub ready: i32,
    /// Whether no older pod is left and every new one was made.
    pub complete: bool,
    /// Whether it has not got on for longer than its deadline.
    pub stuck: bool,
}

impl Rollout {
    /// Reads the status of a Deployment that is applied as it should be.
    pub fn of(deployment: &Seen, least: i32) -> Self {
        let status = &deployment.status;
        let number = |field: &str| status[field].as_i64().and_then(|n| i32::try_from(n).ok());
        let count = |field: &str| number(field).unwrap_or(0);
        let observed = status["observedGeneration"].as_i64().unwrap_or(0);
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        // An autoscaler may want more than the least.
        let desired = least.max(count("replicas"));
        let updated = count("updatedReplicas");
        let current = observed >= deployment.generation;
        Self {
            desired: if current { desired } else { least },
            ready: if current { updated.min(count("availableReplicas")) } else { 0 },
            complete: current && updated >= least && updated == count("replicas"),
            stuck: conditions.iter().any(is_past_deadline),
        }
    }
}

fn is_past_deadline(condition: &Value) -> bool {
    condition["type"] == "Progressing"
        && condition["status"] == "False"
        && condition["reason"] == "ProgressDeadlineExceeded"
}

/// One enabled service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceState {
    /// Its name.
    pub name: ServiceName,
    /// Whether a shop can sell without it.
    pub optional: bool,
    /// Image that it should run.
    pub image: String,
    /// Fewest pods that it should have.
    pub replicas: i32,
    /// Image whose migrations its database had before.
    pub migrated_image: Option<String>,
    /// Its migration; nothing if it has no database.
    pub migration: Option<Migration>,
    /// Its demo data.
    pub demo_data: DemoData,
    /// Its Deployment; nothing while the desired state is not applied.
    pub rollout: Option<Rollout>,
    /// What its Deployment waits for before it is applied.
    pub held: Option<&'static str>,
}

impl ServiceState {
    /// Whether every pod of it is as it should be.
    pub fn is_settled(&self) -> bool {
        self.rollout
            .as_ref()
            .is_some_and(|rollout| rollout.complete && rollout.ready >= rollout.desired)
    }

    /// Whether it answers requests in its desired state.
    pub fn can_serve(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| rollout.complete && rollout.ready > 0)
    }
}

/// The state of a shop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessment {
    /// Whether writes are stopped.
    pub paused: bool,
    /// The Shop with everything resolved, if it makes sense.
    pub valid: Option<ValidatedShop>,
    /// Postgres and the databases.
    pub database: Part,
    /// Databases whose data were lost.
    pub data_loss: Option<DataLoss>,
    /// Redis.
    pub cache: Part,
    /// Kafka and the topics.
    pub events: Part,
    /// The object store.
    pub object_store: Part,
    /// Id of the Kafka cluster where the Shop has topics, if that is somebody else's.
    pub kafka_cluster_id: Option<String>,
    /// ServiceMonitors.
    pub monitoring: Part,
    /// The HTTPRoute.
    pub route: Part,
    /// Whether the databases were filled from a backup.
    pub restore: Part,
    /// What they were filled from.
    pub restored: Option<Restored>,
    /// Backups.
    pub backups: Part,
    /// What became of them.
    pub backup: Option<BackupStatus>,
    /// The services.
    pub services: Vec<ServiceState>,
    /// Services without which a shop cannot sell and that answer nobody now, in whatever version.
    pub silent: Vec<ServiceName>,
    /// Services that are being rolled out in steps; nothing if that was not looked at.
    pub rollouts: Option<Vec<RolloutStatus>>,
    /// What keeps pods from working.
    pub pod_problems: Vec<PodProblem>,
    /// The first problem that is not that of a single part.
    pub problem: Option<Problem>,
}
