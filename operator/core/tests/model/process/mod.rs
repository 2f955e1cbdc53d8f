//! An operator's process on the model: its caches, and passes of observe, plan and execute as in the real one.

mod execute;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use operator_core::child::{ChildKey, Seen};
use operator_core::crd::{PodCounters, RolloutStrategy, Shop};
use operator_core::entropy::Entropy;
use operator_core::facts::{Child, DeletionFacts, Facts, Failure, Probe, Servers};
use operator_core::names;
use operator_core::plan::{
    self, Action, DeletionProgress, Memo, Plan, Planned, Questions, plan, questions,
};
use operator_core::role::{Duty, Role};
use operator_core::validate::referenced_secrets;

use crate::servers::unreachable;
use crate::support::config;
use crate::world::World;

/// Passes of all tests.
pub(crate) static PASSES: AtomicU64 = AtomicU64::new(0);
/// Passes of one reconciliation.
const MAX_PASSES: usize = 40;

/// An operator's process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    children: BTreeMap<ChildKey, Known>,
    servers: Servers,
    deletion: DeletionFacts,
    seed: u8,
    begun: Timestamp,
    memo: Memo,
    /// Writes before the process dies.
    pub(crate) budget: Option<usize>,
    /// Writes so far.
    pub(crate) writes: usize,
    /// Whether the last reconciliation ended with a problem.
    pub(crate) is_hindered: bool,
}

#[derive(Clone, Debug)]
struct Known {
    seen: Seen,
    checked: Option<(String, u64)>,
}

/// The process has died.
#[derive(Debug)]
pub(crate) struct Dead;

impl Process {
    pub(crate) fn new(seed: u8) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Brings what the watches would; `lost` says of which objects they bring nothing.
    pub(crate) fn watch(&mut self, world: &World, lost: impl Fn(&ChildKey) -> bool) {
        let is_known = |key: &ChildKey| world.objects.all.contains_key(key) || lost(key);
        self.children.retain(|key, _| is_known(key));
        for (key, object) in world.objects.all.iter().filter(|(key, _)| !lost(key)) {
            let labels = object.metadata.labels.as_ref();
            let instance = labels.and_then(|labels| labels.get(names::INSTANCE_LABEL));
            if instance.is_some_and(|shop| shop == crate::world::NAME) {
                self.record(key.clone(), Seen::of(object), None);
            }
        }
    }

    fn record(&mut self, key: ChildKey, seen: Seen, fingerprint: Option<u64>) {
        let version = seen.version.clone();
        let number = |version: &str| version.parse::<u64>().unwrap_or(0);
        let known = self.children.entry(key).or_insert(Known { seen: seen.clone(), checked: None });
        if number(&known.seen.version) < number(&version) {
            known.seen = seen;
        }
        if let Some(fingerprint) = fingerprint {
            known.checked = Some((version, fingerprint));
        }
    }

    /// Brings everything that the watches would, and reconciles.
    pub(crate) fn follow(&mut self, world: &mut World) -> Result<Duration, Dead> {
        self.watch(world, |_| false);
        self.reconcile(world)
    }

    /// One reconciliation, as the operator does it. Returns the time until the next.
    pub(crate) fn reconcile(&mut self, world: &mut World) -> Result<Duration, Dead> {
        self.seed = self.seed.wrapping_add(1);
        self.begun = world.now;
        let (mut failures, mut done) = (Vec::new(), Vec::<Action>::new());
        for _ in 0..MAX_PASSES {
            let Some(shop) = world.shop.clone() else { return Ok(plan::RESYNC) };
            world.advance(1);
            let facts = self.observe(world, &shop, &failures);
            PASSES.fetch_add(1, Ordering::Relaxed);
            let plan = plan(&facts, &mut self.memo);
            match plan.deletion {
                Some(DeletionProgress::Workloads) => {
                    self.deletion.workloads_since.get_or_insert(world.now);
                }
                Some(DeletionProgress::Servers) => {
                    self.deletion.servers_since.get_or_insert(world.now);
                }
                Some(DeletionProgress::Done { .. }) | None => {}
            }
            let due: Vec<&Planned> =
                plan.actions.iter().filter(|planned| !done.contains(&planned.action)).collect();
            if due.is_empty() {
                if shop.status.as_ref() == Some(&plan.status) {
                    self.is_hindered = !plan.problems.is_empty();
                    return Ok(plan.requeue);
                }
                self.write()?;
                world.change_shop(|shop| shop.status = Some(plan.status.clone()));
                continue;
            }
            self.execute(world, &plan, &due, &mut done, &mut failures)?;
        }
        Ok(plan::POLL)
    }

    /// What would be planned now.
    pub(crate) fn plan(&mut self, world: &mut World) -> Option<Plan> {
        self.begun = world.now;
        let shop = world.shop.clone()?;
        let facts = self.observe(world, &shop, &[]);
        PASSES.fetch_add(1, Ordering::Relaxed);
        Some(plan(&facts, &mut self.memo))
    }

    fn observe(&mut self, world: &mut World, shop: &Shop, failures: &[Failure]) -> Facts {
        let child = |known: &Known| {
            let checked = known.checked.as_ref();
            let confirmed = checked.filter(|checked| checked.0 == known.seen.version);
            let confirmed = confirmed.map(|checked| checked.1);
            Child { seen: known.seen.clone(), confirmed }
        };
        let object = |resource: &str, role: Role| {
            let name = names::child(crate::world::NAME, role);
            world.objects.all.get(&ChildKey { resource: resource.into(), name }).cloned()
        };
        let stepped = shop.spec.services.iter().filter(|service| {
            let rollout = service.rollout.as_ref();
            rollout.is_some_and(|rollout| rollout.strategy != RolloutStrategy::RollingUpdate)
        });
        let roles = stepped.flat_map(|service| {
            [Duty::Stable, Duty::Canary].map(|duty| Role::Service(service.name, duty))
        });
        let deployments =
            roles.filter_map(|role| Some((role, object("deployments.apps", role)?))).collect();
        let references = referenced_secrets(&shop.spec).into_iter();
        let mut facts = Facts {
            now: world.now,
            config: config(),
            capabilities: world.capabilities,
            shop: shop.clone(),
            references: references
                .filter_map(|name| Some((name.clone(), world.references.get(&name)?.clone())))
                .collect(),
            secrets: secrets(world),
            begun: self.begun,
            entropy: Entropy::new([self.seed; 32]),
            children: self
                .children
                .iter()
                .map(|(key, known)| (key.clone(), child(known)))
                .collect(),
            deployments,
            counters: BTreeMap::new(),
            servers: self.servers.clone(),
            topic_record: object("configmaps.", Role::Topics),
            rivals: Vec::new(),
            job_messages: BTreeMap::new(),
            pod_problems: Vec::new(),
            failures: failures.to_vec(),
            deletion: self.deletion.clone(),
        };
        let questions = questions(&facts, &mut self.memo);
        self.ask(world, &questions);
        facts.servers = self.servers.clone();
        if questions.pods {
            facts.pod_problems.clone_from(&world.pod_problems);
        }
        for (service, _) in &questions.counters {
            let requests = world.now.as_second();
            let failures = if world.canaries_fail { requests } else { 0 };
            let counters = PodCounters { pod: "p".to_owned(), requests, failures, slow: 0 };
            facts.counters.insert(*service, vec![counters]);
        }
        facts
    }

    fn ask(&mut self, world: &mut World, questions: &Questions) {
        let at = world.now;
        if questions.forget_database {
            self.servers.database = None;
        }
        if let Some(question) = &questions.database {
            let server = world.postgres(&question.address.host);
            let answer = server.map(|server| server.inventory(question)).ok_or_else(unreachable);
            let subject = question.subject.clone();
            self.servers.database = Some(Probe { subject, at, answer });
        }
        if let Some(question) = &questions.events {
            let server = world.kafka(&question.address.bootstrap_servers[0]);
            let answer =
                server.map(|server| server.inventory(&question.topics)).ok_or_else(unreachable);
            let subject = question.subject.clone();
            self.servers.events = Some(Probe { subject, at, answer });
        }
        for (question, probe) in [
            (&questions.cache, &mut self.servers.cache),
            (&questions.object_store, &mut self.servers.object_store),
        ] {
            if let Some(question) = question {
                let is_down = world.down.contains(&question.address);
                let answer = if is_down { Err(unreachable()) } else { Ok(()) };
                *probe = Some(Probe { subject: question.subject.clone(), at, answer });
            }
        }
    }
}

fn secrets(world: &World) -> BTreeMap<String, BTreeMap<String, String>> {
    let secrets = world.objects.all.iter().filter(|(key, _)| &*key.resource == "secrets.");
    secrets
        .map(|(key, object)| {
            let secret = object.clone().try_parse().unwrap();
            (key.name.clone(), operator_core::credentials::content(&secret))
        })
        .collect()
}
