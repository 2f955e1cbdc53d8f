//! Migrations, demo data and Deployments: what may be applied when.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::action::{Action, Phase, Sql};
use super::basis::Basis;
use super::databases::Databases;
use super::draft::Draft;
use crate::build::RolloutPlans;
use crate::child::{ChildKey, Seen};
use crate::components::{COMPONENTS, Need};
use crate::crd::ServiceName;
use crate::facts::Facts;
use crate::jobs;
use crate::names;
use crate::object::{Desired, Object, Stage};
use crate::role::{Duty, Role};
use crate::status::{DemoData, Migration, Part, Reason, Rollout, ServiceState};
use crate::validate::{Scaling, ServiceInstance};

/// Time after which a migration that failed is repeated. Migrations that were applied are not applied again.
const RETRY_INTERVAL: SignedDuration = SignedDuration::from_mins(10);

/// What the services depend on.
pub(super) struct Surroundings<'a> {
    pub(super) desired: &'a Desired,
    pub(super) rollouts: &'a RolloutPlans,
    pub(super) databases: &'a Databases,
    /// Whether the databases are there, and filled if they are restored.
    pub(super) fillable: bool,
    pub(super) topics: &'a Part,
    pub(super) cache: &'a Part,
}

/// Plans what the services lack; returns their state.
pub(super) fn plan(
    basis: &Basis<'_>,
    around: &Surroundings<'_>,
    draft: &mut Draft<'_>,
) -> Vec<ServiceState> {
    let mut states: Vec<_> = basis.valid.services.iter().map(|s| state(basis, s)).collect();
    if around.fillable {
        migrate(basis, around, &mut states, draft);
        seed(basis, around, &mut states, draft);
    }
    roll_out(basis, around, &mut states, draft);
    states
}

/// Services whose older objects must stay.
pub(super) fn held(states: &[ServiceState]) -> BTreeSet<Role> {
    let held = states.iter().filter(|service| service.held.is_some());
    held.map(|service| service.name.into()).collect()
}

/// Services without which a shop cannot sell and that do not answer: no pod is available, of whatever version, or the database is
/// known to have no schema.
pub(super) fn silent(facts: &Facts, empty: &BTreeSet<ServiceName>) -> Vec<ServiceName> {
    let (shop, uid) = (facts.shop.metadata.name.as_deref().unwrap_or_default(), facts.uid());
    let answers = |service: ServiceName| {
        let name = names::child(shop, service);
        facts.child("deployments.apps", &name).is_some_and(|seen| {
            seen.owner.as_deref() == Some(&uid)
                && seen.status["availableReplicas"].as_i64().unwrap_or(0) > 0
        })
    };
    let required = COMPONENTS.iter().filter(|component| !component.optional);
    let required = required.map(|component| component.name);
    required.filter(|service| empty.contains(service) || !answers(*service)).collect()
}

fn state(basis: &Basis<'_>, service: &ServiceInstance) -> ServiceState {
    let name = service.component.name;
    let migration = service.component.needs(Need::Database).then_some({
        if service.migration_due { Migration::WaitsForDatabase } else { Migration::Applied }
    });
    ServiceState {
        name,
        optional: service.component.optional,
        image: service.image.clone(),
        replicas: match service.scaling {
            Scaling::Fixed(replicas) => replicas,
            // How many there should be is the autoscaler's to say; one can serve.
            Scaling::Auto { .. } => 1,
        },
        migrated_image: basis.migrated.get(&name).cloned(),
        migration,
        demo_data: if basis.seeded.contains(&name) {
            DemoData::Written
        } else if service.seed_due {
            DemoData::Due
        } else {
            DemoData::NotWanted
        },
        rollout: None,
        held: None,
    }
}

/// Runs the migrations that are due, and records those that have completed in their databases.
fn migrate(
    basis: &Basis<'_>,
    around: &Surroundings<'_>,
    states: &mut [ServiceState],
    draft: &mut Draft<'_>,
) {
    for job in around.desired.stage(Stage::Migrations) {
        let Some(index) = index(states, job) else { continue };
        let service = states[index].name;
        let is_empty = around.databases.empty.contains(&service);
        if is_empty && basis.facts.recorded_schema(service).is_some() {
            // The loss is recorded first: afterwards nothing would tell of it.
            continue;
        }
        draft.apply_stage(Stage::Migrations, [job]);
        let seen = basis.facts.current(job);
        states[index].migration = Some(match seen {
            Some(seen) if jobs::is_complete(seen) => {
                record(basis, service, &states[index].image, draft);
                Migration::WaitsForDatabase
            }
            Some(seen) if is_due_again(seen, basis.facts.now) => {
                draft.delete(Phase::StaleJobs, &ChildKey::of(job), true);
                Migration::Running
            }
            Some(seen) if jobs::is_failed(seen) => {
                let job = job.name().to_owned();
                let line = basis.facts.job_messages.get(&job).cloned();
                let line = line.unwrap_or_else(|| "its pods are gone".to_owned());
                Migration::Failed { job, line }
            }
            _ => Migration::Running,
        });
    }
}

/// Whether a Job has failed so long ago that it is repeated: what it failed for, as a database that was away, may be over.
fn is_due_again(job: &Seen, now: Timestamp) -> bool {
    let ended = jobs::ended_at(job).filter(|_| jobs::is_failed(job));
    ended.is_some_and(|ended| now.duration_since(ended) >= RETRY_INTERVAL)
}

fn record(basis: &Basis<'_>, service: ServiceName, image: &str, draft: &mut Draft<'_>) {
    let mut specs = basis.databases.databases.iter();
    if let Some(spec) = specs.find(|spec| spec.service == service) {
        let (database, image) = (spec.database.clone(), image.to_owned());
        draft.act(Phase::Databases, Action::Sql(Sql::RecordMigration { database, image }));
    }
}

/// Writes demo data where migrations are applied.
fn seed(
    basis: &Basis<'_>,
    around: &Surroundings<'_>,
    states: &mut [ServiceState],
    draft: &mut Draft<'_>,
) {
    for job in around.desired.stage(Stage::Seeds) {
        let Some(index) = index(states, job) else { continue };
        if states[index].migration.as_ref().is_some_and(|m| *m != Migration::Applied) {
            continue;
        }
        draft.apply_stage(Stage::Seeds, [job]);
        let Some(seen) = basis.facts.current(job) else { continue };
        if jobs::is_complete(seen) {
            states[index].demo_data = DemoData::Written;
        } else if jobs::is_failed(seen) {
            states[index].demo_data = DemoData::Failed { job: job.name().to_owned() };
        }
    }
}

/// Applies the services. A Deployment whose image has no schema yet is left as it is, so that its old pods serve on, and so is one
/// whose topics are another Shop's; a new one also waits for topics and cache, rather than crash.
fn roll_out(
    basis: &Basis<'_>,
    around: &Surroundings<'_>,
    states: &mut [ServiceState],
    draft: &mut Draft<'_>,
) {
    for object in around.desired.stage(Stage::Workloads) {
        let index = index(states, object);
        let deployment = index.filter(|_| object.kind() == "Deployment");
        let reason = deployment.and_then(|index| hold(basis, around, &states[index], object));
        match deployment.zip(reason) {
            // The service itself is as it was.
            Some(_) if is_canary(object) => continue,
            Some((index, reason)) => {
                states[index].held = Some(reason);
                continue;
            }
            None => draft.apply_stage(Stage::Workloads, [object]),
        }
        if let Some(index) = deployment.filter(|_| !is_canary(object)) {
            let least = states[index].replicas;
            let seen = basis.facts.current(object);
            states[index].rollout = seen.map(|seen| Rollout::of(seen, least));
        }
    }
}

/// What a Deployment waits for.
fn hold(
    basis: &Basis<'_>,
    around: &Surroundings<'_>,
    state: &ServiceState,
    deployment: &Object,
) -> Option<&'static str> {
    let component = basis.valid.service(state.name)?.component;
    let pending = state.migration.as_ref().is_some_and(|m| *m != Migration::Applied);
    // Pods that keep their template need no newer schema.
    let kept = around.rollouts.get(&state.name).is_some_and(|plan| plan.kept.is_some());
    if pending && (!kept || around.databases.empty.contains(&state.name)) {
        return Some("its migration is applied");
    }
    if component.needs(Need::Events) && around.topics.reason() == Reason::TopicTaken {
        return Some("its topics are its own");
    }
    if basis.facts.seen(deployment).is_some() {
        return None;
    }
    if component.needs(Need::Events) && !around.topics.is_ready() {
        return Some("its topics are there");
    }
    (component.needs(Need::Cache) && !around.cache.is_ready()).then_some("Redis answers")
}

fn index(states: &[ServiceState], object: &Object) -> Option<usize> {
    let service = object.role()?.service()?;
    states.iter().position(|state| state.name == service)
}

/// Whether an object belongs to a service's new version beside the old one.
fn is_canary(object: &Object) -> bool {
    matches!(object.role(), Some(Role::Service(_, Duty::Canary)))
}
