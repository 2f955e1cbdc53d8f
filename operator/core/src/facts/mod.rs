//! Everything that one pass decides by. Whatever is not here has no influence on a plan.

mod servers;

pub use servers::{
    Brokers, Comment, DatabaseServer, DatabaseState, Probe, Servers, TopicState, Trouble,
    TroubleKind,
};

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::core::DynamicObject;

use crate::child::{ChildKey, Seen};
use crate::crd::{PodCounters, ServiceName, Shop};
use crate::credentials::Content;
use crate::entropy::Entropy;
use crate::names;
use crate::object::Object;
use crate::plan::Phase;
use crate::pods::PodProblem;
use crate::problem::Problem;
use crate::role::Role;
use crate::topics::Rival;
use crate::validate::{Capabilities, Config};

/// What a pass knows about a Shop and its surroundings.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The time.
    pub now: Timestamp,
    /// Configuration of the operator, as far as it shapes a shop.
    pub config: Config,
    /// Optional APIs that the cluster has.
    pub capabilities: Capabilities,
    /// The Shop with its status.
    pub shop: Shop,
    /// Secrets that the spec refers to and that exist, by name.
    pub references: BTreeMap<String, Content>,
    /// Secrets that have the name of one that the operator makes.
    pub secrets: BTreeMap<String, Content>,
    /// When the reconciliation began: the time of new Secrets, which are the same in each of its passes.
    pub begun: Timestamp,
    /// Randomness for new Secrets, the same in each pass of a reconciliation.
    pub entropy: Entropy,
    /// Objects with the Shop's labels.
    pub children: BTreeMap<ChildKey, Child>,
    /// Deployments that are rolled out in steps, in full.
    pub deployments: BTreeMap<Role, DynamicObject>,
    /// What the pods of new versions have counted, where that could be read.
    pub counters: BTreeMap<ServiceName, Vec<PodCounters>>,
    /// Answers of the servers that the shop uses.
    pub servers: Servers,
    /// The record of the topics that the Shop owns in external Kafka clusters.
    pub topic_record: Option<DynamicObject>,
    /// Other Shops that name the same topics.
    pub rivals: Vec<Rival>,
    /// The last words of Jobs' newest pods, by name of the Job.
    pub job_messages: BTreeMap<String, String>,
    /// What is wrong with pods, where some are not ready.
    pub pod_problems: Vec<PodProblem>,
    /// Actions that failed since the last complete pass.
    pub failures: Vec<Failure>,
    /// How far the deletion of the Shop is.
    pub deletion: DeletionFacts,
}

/// An object with the Shop's labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Child {
    /// The object, as it was last seen.
    pub seen: Seen,
    /// Fingerprint of the desired object that was found applied at this version.
    pub confirmed: Option<u64>,
}

/// An action that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Phase of the action.
    pub phase: Phase,
    /// Identity of the action.
    pub action: String,
    /// What went wrong.
    pub problem: Problem,
}

/// How far the deletion of a Shop is.
#[derive(Clone, Debug, PartialEq)]
pub struct DeletionFacts {
    /// Since when workloads have been waited for.
    pub workloads_since: Option<Timestamp>,
    /// Since when external servers have failed.
    pub servers_since: Option<Timestamp>,
    /// How long either may take before what is left is left behind.
    pub limit: SignedDuration,
}

impl Default for DeletionFacts {
    fn default() -> Self {
        Self { workloads_since: None, servers_since: None, limit: SignedDuration::from_mins(10) }
    }
}

impl Facts {
    /// Namespace of the Shop.
    pub fn namespace(&self) -> String {
        self.shop.namespace().unwrap_or_default()
    }

    /// UID of the Shop.
    pub fn uid(&self) -> String {
        self.shop.uid().unwrap_or_default()
    }

    /// Whether writes are stopped by annotation.
    pub fn is_paused(&self) -> bool {
        self.shop.annotations().get(names::PAUSED).is_some_and(|value| value == "true")
    }

    /// A child by plural and group, e.g. `deployments.apps`, and name.
    pub fn child(&self, resource: &str, name: &str) -> Option<&Seen> {
        let key = ChildKey { resource: resource.into(), name: name.to_owned() };
        self.children.get(&key).map(|child| &child.seen)
    }

    /// The object as it was last seen, whatever its state.
    pub fn seen(&self, object: &Object) -> Option<&Seen> {
        self.children.get(&ChildKey::of(object)).map(|child| &child.seen)
    }

    /// The object as it was last seen, if it is as it should be.
    pub fn current(&self, object: &Object) -> Option<&Seen> {
        let child = self.children.get(&ChildKey::of(object))?;
        (child.confirmed == Some(object.fingerprint())).then_some(&child.seen)
    }

    /// The image whose schema a service's database has by the status.
    pub fn recorded_schema(&self, service: ServiceName) -> Option<&str> {
        let mut services = self.shop.status.iter().flat_map(|status| &status.services);
        services.find(|known| known.name == service)?.migrated_image.as_deref()
    }
}
