//! Migrations, demo data and rollouts of the services: what may be applied when.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt as _};
use operator_core::build::RolloutPlans;
use operator_core::child::ChildKey;
use operator_core::components::Need;
use operator_core::crd::ServiceName;
use operator_core::object::{Desired, Object, Stage};
use operator_core::role::{Duty, Role};
use operator_core::status::{DemoData, Migration, Part, Reason, Rollout, ServiceFacts};
use operator_core::validate::{Observed, Scaling, ServiceInstance, ValidatedShop};

use crate::apply::{Applier, Done};
use crate::engines::Schemas;
use crate::error::Error;
use crate::observe::job_ended;

/// Applies what belongs to the services and collects what becomes of them.
pub struct Services<'a> {
    applier: &'a Applier<'a>,
    valid: &'a ValidatedShop,
    desired: &'a Desired,
    rollouts: &'a RolloutPlans,
    /// Services whose database has no schema at all.
    empty: BTreeSet<ServiceName>,
    /// State of each enabled service.
    pub facts: Vec<ServiceFacts>,
    /// What went wrong with single objects.
    pub errors: Vec<Error>,
}

impl<'a> Services<'a> {
    /// Nothing is applied yet.
    pub fn new(
        applier: &'a Applier<'a>,
        valid: &'a ValidatedShop,
        observed: &Observed,
        desired: &'a Desired,
        rollouts: &'a RolloutPlans,
    ) -> Self {
        let facts = valid.services.iter().map(|service| facts(service, observed)).collect();
        let empty = BTreeSet::new();
        Self { applier, valid, desired, rollouts, empty, facts, errors: Vec::new() }
    }

    /// Takes in which schema each database has by its own account, whatever the status says.
    pub fn observe_schemas(&mut self, schemas: &Schemas) {
        // One that was not asked has no entry.
        for facts in &mut self.facts {
            let Some(schema) = schemas.get(&facts.name) else { continue };
            let applied = schema.as_ref() == Some(&facts.image);
            facts.migration =
                Some(if applied { Migration::Applied } else { Migration::WaitsForDatabase });
            facts.migrated_image.clone_from(schema);
            if schema.is_none() {
                self.empty.insert(facts.name);
            }
        }
    }

    /// Runs the migrations that are due. Returns those that are through, which their databases do not know yet.
    pub async fn migrate(&mut self) -> Vec<(ServiceName, String)> {
        let migrations = self.desired.stage(Stage::Migrations).iter();
        let due: Vec<&Object> = migrations.filter(|object| !self.is_migrated(object)).collect();
        let mut through = Vec::new();
        for (object, live) in self.apply(due).await {
            let Some(index) = self.index(object) else { continue };
            self.facts[index].migration = Some(match live.seen {
                Some(job) if job_ended(&job, "Complete") => {
                    through.push((self.facts[index].name, self.facts[index].image.clone()));
                    Migration::WaitsForDatabase
                }
                Some(job) if job_ended(&job, "Failed") => {
                    let line = self.last_line(object.name()).await;
                    Migration::Failed { job: object.name().to_owned(), line }
                }
                _ => Migration::Running,
            });
        }
        through
    }

    /// Takes in that the databases of these services have the schema of their images.
    pub fn confirm(&mut self, migrated: &BTreeSet<ServiceName>) {
        for facts in self.facts.iter_mut().filter(|facts| migrated.contains(&facts.name)) {
            facts.migration = Some(Migration::Applied);
        }
    }

    /// Whether some database lacks its schema and no Job is under way: the next pass brings one.
    pub fn lacks_jobs(&self) -> bool {
        self.facts.iter().any(|facts| facts.migration == Some(Migration::WaitsForDatabase))
    }

    /// Writes demo data where migrations are through.
    pub async fn seed(&mut self) {
        let seeds = self.desired.stage(Stage::Seeds).iter();
        let due: Vec<&Object> = seeds.filter(|object| self.is_migrated(object)).collect();
        for (object, live) in self.apply(due).await {
            let Some((index, job)) = self.index(object).zip(live.seen) else { continue };
            if job_ended(&job, "Complete") {
                self.facts[index].demo_data = DemoData::Written;
            } else if job_ended(&job, "Failed") {
                self.facts[index].demo_data = DemoData::Failed { job: object.name().to_owned() };
            }
        }
    }

    /// Applies the services. A Deployment whose image has no schema yet is left as it is, so
    /// that its old pods serve on, and so is one whose topics are another Shop's; a new one also waits
    /// for topics and cache, rather than crash.
    pub async fn roll_out(&mut self, topics: &Part, cache: &Part) {
        let mut due = Vec::new();
        for object in self.desired.stage(Stage::Workloads) {
            let hold = self.index(object).filter(|_| object.kind() == "Deployment");
            let reason = hold.and_then(|index| self.hold(index, object, topics, cache));
            match hold.zip(reason) {
                // The service itself is as it was.
                Some(_) if is_canary(object) => {}
                Some((index, reason)) => self.facts[index].held = Some(reason),
                None => due.push(object),
            }
        }
        for (object, live) in self.apply(due).await {
            let Some(index) = self.index(object) else { continue };
            if object.kind() == "Deployment" && live.current && !is_canary(object) {
                let least = self.facts[index].replicas;
                self.facts[index].rollout = live.seen.map(|seen| Rollout::of(&seen, least));
            }
        }
    }

    /// Whose older objects must stay.
    pub fn held(&self) -> BTreeSet<Role> {
        let held = self.facts.iter().filter(|service| service.held.is_some());
        held.map(|service| service.name.into()).collect()
    }

    fn hold(
        &self,
        index: usize,
        deployment: &Object,
        topics: &Part,
        cache: &Part,
    ) -> Option<&'static str> {
        let component = self.valid.services[index].component;
        let pending =
            self.facts[index].migration.as_ref().is_some_and(|m| *m != Migration::Applied);
        // Pods that keep their template need no newer schema.
        let kept = self.rollouts.get(&component.name).is_some_and(|plan| plan.kept.is_some());
        if pending && (!kept || self.empty.contains(&component.name)) {
            return Some("its migration is applied");
        }
        if component.needs(Need::Events) && topics.reason() == Reason::TopicTaken {
            return Some("its topics are its own");
        }
        if self.applier.cache.children(&self.applier.shop).contains_key(&ChildKey::of(deployment)) {
            return None;
        }
        if component.needs(Need::Events) && !topics.is_ready() {
            return Some("its topics are there");
        }
        (component.needs(Need::Cache) && !cache.is_ready()).then_some("Redis answers")
    }

    async fn apply<'o>(&mut self, objects: impl IntoIterator<Item = &'o Object>) -> Vec<Done<'o>> {
        let mut done = Vec::new();
        for (object, result) in self.applier.apply_all(objects).await {
            match result {
                Ok(live) => done.push((object, live)),
                Err(error) => self.errors.push(error.into()),
            }
        }
        done
    }

    /// Whether the database of an object's service has the schema of the service's image.
    pub fn is_migrated(&self, object: &Object) -> bool {
        self.index(object).is_some_and(|index| {
            self.facts[index].migration.as_ref().is_none_or(|m| *m == Migration::Applied)
        })
    }

    fn index(&self, object: &Object) -> Option<usize> {
        let service = object.role()?.service()?;
        self.facts.iter().position(|facts| facts.name == service)
    }

    /// The last line that the newest pod of a Job has logged. It is a help, not a need.
    async fn last_line(&self, job: &str) -> String {
        let namespace = self.applier.shop.namespace.as_deref().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.applier.client.clone(), namespace);
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let list = pods.list(&of_job).await.map(|list| list.items).unwrap_or_default();
        let newest = list.iter().max_by_key(|pod| pod.creation_timestamp());
        let Some(pod) = newest else { return "its pods are gone".to_owned() };
        let one_line = LogParams { tail_lines: Some(1), ..LogParams::default() };
        match pods.logs(&pod.name_any(), &one_line).await {
            Ok(log) if !log.trim().is_empty() => log.trim().to_owned(),
            Ok(_) => "it logged nothing".to_owned(),
            Err(_) => "its log cannot be read".to_owned(),
        }
    }
}

fn facts(service: &ServiceInstance, observed: &Observed) -> ServiceFacts {
    let name = service.component.name;
    let migration = service.component.needs(Need::Database).then_some({
        if service.migration_due { Migration::WaitsForDatabase } else { Migration::Applied }
    });
    ServiceFacts {
        name,
        optional: service.component.optional,
        image: service.image.clone(),
        replicas: match service.scaling {
            Scaling::Fixed(replicas) => replicas,
            // How many there should be is the autoscaler's to say; one can serve.
            Scaling::Auto { .. } => 1,
        },
        migrated_image: observed.migrated.get(&name).cloned(),
        migration,
        demo_data: if observed.seeded.contains(&name) {
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

/// Whether an object belongs to a service's new version beside the old one.
fn is_canary(object: &Object) -> bool {
    matches!(object.role(), Some(Role::Service(_, Duty::Canary)))
}
