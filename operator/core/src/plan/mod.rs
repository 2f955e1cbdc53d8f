//! The only place that decides: facts in, plan out. A plan moves a Shop as far as its facts allow; the next observes what came of it.
//! What has to wait for something is a condition on facts, not a position in a function.

mod action;
mod backups;
mod basis;
mod databases;
mod deletion;
mod draft;
mod engines;
mod exposure;
mod memo;
mod pods;
mod prune;
mod questions;
mod rollouts;
mod services;
mod topics;

pub use action::{Action, Deletion, Phase, Sql, TopicChange};
pub use basis::Login;
pub use deletion::FINALIZER;
pub use draft::Planned;
pub use memo::Memo;
pub use questions::{
    BrokersAddress, BrokersQuestion, DatabaseAddress, DatabaseQuestion, JobQuestion, JobWords,
    Questions, RolePassword, TcpQuestion, questions,
};
pub use topics::config as topic_config;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::crd::{BackupStatus, ShopStatus};
use crate::facts::Facts;
use crate::names;
use crate::object::Stage;
use crate::problem::Problem;
use crate::status::{self, Assessment, Part, Reason, ServiceState};
use crate::validate::Backups;

use basis::{Basis, Unresolved};
use draft::Draft;
use services::Surroundings;

/// Time after which a pass is due although nothing happened.
pub const RESYNC: Duration = Duration::from_mins(5);
/// Time until the next pass while an engine starts: no watch reports its readiness.
pub const POLL: Duration = Duration::from_millis(1500);
/// Time until the next pass during a rollout in steps: no watch reports what its pods measure.
pub const ROLLOUT_POLL: Duration = Duration::from_secs(5);
/// Time until the next pass while some pods are not ready: a container that waits to be restarted causes no watch event.
pub const POD_POLL: Duration = Duration::from_secs(10);

/// What one pass asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Writes, in their order.
    pub actions: Vec<Planned>,
    /// The status that the Shop should have now.
    pub status: ShopStatus,
    /// Problems, those that another attempt may solve first.
    pub problems: Vec<Problem>,
    /// Time until the next pass, if nothing happens before.
    pub requeue: Duration,
    /// Backups as the spec asks for them, and how they are. Nothing if the Shop cannot be resolved.
    pub backups: Option<Option<(Backups, BackupStatus)>>,
    /// How the administrator of Postgres is reached.
    pub database: Option<DatabaseAddress>,
    /// How the brokers are reached.
    pub brokers: Option<BrokersAddress>,
    /// What a deletion waits for.
    pub deletion: Option<DeletionProgress>,
}

/// What a deletion waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletionProgress {
    /// Workloads, which may still write.
    Workloads,
    /// External servers, which fail.
    Servers,
    /// Nothing. What is left behind is named.
    Done {
        /// Databases, topics or workloads that could not be deleted.
        left: Option<String>,
    },
}

/// Decides what is to be done. Total and without I/O.
pub fn plan(facts: &Facts, memo: &mut Memo) -> Plan {
    if facts.shop.metadata.deletion_timestamp.is_some() {
        return deletion::plan(facts);
    }
    if !deletion::has_finalizer(&facts.shop) && !facts.is_paused() {
        let mut draft = Draft::new(facts);
        draft.act(Phase::Finalizer, Action::Finalizer(true));
        let status = facts.shop.status.clone().unwrap_or_default();
        return finish(draft, status, failures(facts), POLL);
    }
    match Basis::new(facts, memo) {
        Ok(basis) => plan_resolved(&basis, memo),
        Err(unresolved) => plan_unresolved(facts, unresolved),
    }
}

/// A Shop that makes no sense keeps what it has.
fn plan_unresolved(facts: &Facts, unresolved: Unresolved) -> Plan {
    let Unresolved { valid, problem } = unresolved;
    let state = Assessment {
        valid: valid.map(|valid| *valid),
        problem: Some(problem.clone()),
        ..known(facts)
    };
    let status = status::status(&facts.shop, &state, facts.now);
    finish(Draft::new(facts), status, vec![problem], RESYNC)
}

/// Names of the Secrets that the operator makes for a Shop; none if it cannot be resolved.
pub fn secret_names(facts: &Facts) -> Vec<String> {
    basis::secret_names(facts)
}

/// The phases. Each plans what is missing, and returns the state of its part.
fn plan_resolved(basis: &Basis<'_>, memo: &mut Memo) -> Plan {
    let facts = basis.facts;
    let rollouts = rollouts::plan(basis);
    let desired = memo.desired(&basis.valid, &basis.hashes, &rollouts.plans);
    let secrets = memo.secrets(&basis.specs, &basis.credentials, &basis.valid.namespace);

    let mut draft = Draft::new(facts);
    draft.apply(Phase::Secrets, secrets.iter());
    draft.apply_stage(Stage::Foundation, desired.stage(Stage::Foundation));
    draft.apply_stage(Stage::Engines, desired.stage(Stage::Engines));
    let databases = databases::plan(basis, &mut draft);
    let topics = topics::plan(basis, &mut draft);
    let (cache, object_store) = (engines::cache(basis), engines::object_store(basis));
    let databases_ready = databases.part.is_ready();
    let (restore, restored) = backups::restore(basis, &desired, databases_ready, &mut draft);
    let is_filled = restore.is_ready() || restore.reason() == Reason::NotWanted;
    let around = Surroundings {
        desired: &desired,
        rollouts: &rollouts.plans,
        databases: &databases,
        fillable: databases_ready && is_filled,
        topics: &topics.part,
        cache: &cache,
    };
    let services = services::plan(basis, &around, &mut draft);
    draft.apply_stage(Stage::Exposure, desired.stage(Stage::Exposure));
    let (backups, backup) = backups::backups(basis, &desired, databases_ready, &mut draft);

    let mut problems = failures(facts);
    problems.extend(databases.problem);
    problems.extend(topics.problem);
    // A problem that another attempt may solve decides about the next attempt.
    problems.sort_by_key(|problem| problem.permanent);
    let held = services::held(&services);
    let state = Assessment {
        valid: Some(basis.valid.clone()),
        database: databases.part,
        data_loss: databases.data_loss,
        cache,
        events: topics.part,
        object_store,
        kafka_cluster_id: topics.cluster,
        monitoring: exposure::monitoring(basis, &desired),
        route: exposure::route(basis, &desired),
        restore,
        restored,
        backups,
        backup,
        services,
        silent: services::silent(facts, &databases.empty),
        rollouts: Some(rollouts.statuses.clone()),
        pod_problems: pods::problems(facts),
        problem: problems.first().cloned(),
        ..known(facts)
    };
    let status = status::status(&facts.shop, &state, facts.now);
    if facts.shop.status.as_ref() == Some(&status) {
        // What a Job has done is in the status before the Job is deleted, and so is what an annotation asked for.
        prune::plan(&desired, &secrets, &held, &mut draft);
        prune::annotations(&mut draft);
    }
    let requeue = requeue(basis, &state, rollouts.are_under_way());
    let backups = Some(basis.valid.backups.clone().zip(state.backup));
    Plan {
        backups,
        database: questions::database_address(basis),
        brokers: questions::brokers_address(basis),
        ..finish(draft, status, problems, requeue)
    }
}

/// What is known of a Shop before anything of it is resolved.
fn known(facts: &Facts) -> Assessment {
    let status = facts.shop.status.as_ref();
    Assessment {
        paused: facts.is_paused(),
        silent: services::silent(facts, &BTreeSet::new()),
        kafka_cluster_id: status.and_then(|status| status.kafka_cluster_id.clone()),
        data_loss: status.and_then(|status| status.data_loss.clone()),
        backup: status.and_then(|status| status.backup.clone()),
        restored: status.and_then(|status| status.restored.clone()),
        ..Assessment::default()
    }
}

fn failures(facts: &Facts) -> Vec<Problem> {
    facts.failures.iter().map(|failure| failure.problem.clone()).collect()
}

fn finish(draft: Draft<'_>, status: ShopStatus, problems: Vec<Problem>, requeue: Duration) -> Plan {
    let mut actions = draft.actions;
    // What builds on something that could not be done waits for it.
    let required =
        draft.facts.failures.iter().map(|failure| failure.phase).filter(|p| p.is_required());
    if let Some(failed) = required.min() {
        actions.retain(|planned| planned.phase <= failed);
    }
    // Stable: what is planned first within a phase is done first.
    actions.sort_by_key(|planned| planned.phase);
    Plan {
        actions,
        status,
        problems,
        requeue,
        backups: None,
        database: None,
        brokers: None,
        deletion: None,
    }
}

/// When time alone may change something.
fn requeue(basis: &Basis<'_>, state: &Assessment, rollouts_under_way: bool) -> Duration {
    if basis.facts.is_paused() {
        return RESYNC;
    }
    let engines = [&state.database, &state.cache, &state.events, &state.object_store];
    let lacks_schema = state
        .services
        .iter()
        .any(|service| service.migration == Some(status::Migration::WaitsForDatabase));
    if engines.into_iter().any(|part| matches!(part, Part::Waiting(..)))
        || lacks_schema && state.database.is_ready()
    {
        return POLL;
    }
    if rollouts_under_way {
        return ROLLOUT_POLL;
    }
    let is_settled = state.services.iter().all(ServiceState::is_settled);
    if is_settled && !questions::is_doubtful(basis) { RESYNC } else { POD_POLL }
}

/// Annotations that ask for something once.
const COMMANDS: [&str; 3] = [names::PROMOTE, names::ABORT, names::ACKNOWLEDGE_DATA_LOSS];
