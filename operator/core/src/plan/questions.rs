//! What has to be asked before a pass can decide. At rest nothing is.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::basis::{Basis, Login};
use super::deletion;
use super::engines;
use super::memo::Memo;
use super::{POLL, RESYNC};
use crate::build::SecretKey;
use crate::child::Seen;
use crate::components::Need;
use crate::crd::{KafkaSecurity, RolloutState, ServiceName, SslMode};
use crate::facts::{Facts, Probe};
use crate::jobs;
use crate::names;
use crate::role::{Duty, EngineKind, Role};
use crate::validate::{DatabaseEngine, EventsEngine};

/// What has to be asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Questions {
    /// The Postgres server.
    pub database: Option<DatabaseQuestion>,
    /// Whether the last answer of the Postgres server is void: when it is back it may hold something else.
    pub forget_database: bool,
    /// Redis.
    pub cache: Option<TcpQuestion>,
    /// The brokers.
    pub events: Option<BrokersQuestion>,
    /// The object store.
    pub object_store: Option<TcpQuestion>,
    /// Services whose new version's pods are to be measured, and the limit in milliseconds of a request that is not slow.
    pub counters: Vec<(ServiceName, i32)>,
    /// Jobs whose last words are wanted.
    pub jobs: Vec<JobQuestion>,
    /// Whether pods are to be looked at: some are not ready.
    pub pods: bool,
}

/// A question that a TCP connection answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpQuestion {
    /// Hash of what the question depends on.
    pub subject: String,
    /// `host:port`.
    pub address: String,
}

/// How the administrator of a Postgres server is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseAddress {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Encryption.
    pub ssl_mode: SslMode,
    /// User name and password.
    pub login: Login,
}

/// What a Postgres server holds of a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseQuestion {
    /// Hash of what the question depends on.
    pub subject: String,
    /// The server.
    pub address: DatabaseAddress,
    /// The databases, with their roles.
    pub databases: Vec<RolePassword>,
}

/// A database, its role, and the role's password where logging in is to be tried.
#[derive(Clone, PartialEq, Eq)]
pub struct RolePassword {
    /// Name of the database.
    pub database: String,
    /// Name of its role.
    pub role: String,
    /// Password of the role.
    pub password: Option<String>,
}

/// How brokers are reached.
#[derive(Clone, PartialEq)]
pub struct BrokersAddress {
    /// Brokers to ask first, each as `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// Encryption and authentication.
    pub security: KafkaSecurity,
    /// User name and password.
    pub login: Option<Login>,
}

/// What brokers hold of a shop.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokersQuestion {
    /// Hash of what the question depends on.
    pub subject: String,
    /// The brokers.
    pub address: BrokersAddress,
    /// Names of the topics.
    pub topics: BTreeSet<String>,
}

/// A Job whose last words are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobQuestion {
    /// Name of the Job.
    pub job: String,
    /// Where its pods leave them.
    pub words: JobWords,
}

/// Where the pods of a Job leave their last words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobWords {
    /// The last line of the log.
    Log,
    /// The termination message.
    TerminationMessage,
}

/// What has to be asked before [`plan`](super::plan) can decide from these facts.
pub fn questions(facts: &Facts, memo: &mut Memo) -> Questions {
    if facts.shop.metadata.deletion_timestamp.is_some() {
        return deletion::questions(facts);
    }
    if facts.is_paused() {
        return Questions {
            jobs: job_questions(facts),
            pods: has_unready(facts),
            ..Questions::default()
        };
    }
    let Ok(basis) = Basis::new(facts, memo) else { return Questions::default() };
    let (servers, now) = (&facts.servers, facts.now);
    let tcp = |subject: String, address: Option<String>, probe: Option<&Probe<()>>| {
        let question = TcpQuestion { address: address?, subject };
        is_due(probe, &question.subject, RESYNC, now).then_some(question)
    };
    let (cache, object_store) =
        (engines::cache_address(&basis), engines::object_store_address(&basis));
    Questions {
        database: database(&basis),
        forget_database: is_absent(&basis, EngineKind::Postgres),
        cache: tcp(basis.subject(&cache), cache, servers.cache.as_ref()),
        events: events(&basis),
        object_store: tcp(
            basis.subject(&object_store),
            object_store,
            servers.object_store.as_ref(),
        ),
        counters: counters(&basis),
        jobs: job_questions(facts),
        pods: has_unready(facts),
    }
}

/// Whether an answer is missing, is one to another question, or is too old. One that is no answer is old soon.
pub(super) fn is_due<T>(
    probe: Option<&Probe<T>>,
    subject: &str,
    max_age: Duration,
    now: Timestamp,
) -> bool {
    let Some(probe) = probe.filter(|probe| probe.subject == subject) else { return true };
    // A little shorter than the interval of passes that are to ask again.
    let max_age = if probe.answer.is_ok() { max_age } else { POLL }.mul_f64(0.7);
    let age = now.duration_since(probe.at);
    // A clock that was set back makes no answer valid for longer.
    age < SignedDuration::ZERO || age >= SignedDuration::try_from(max_age).unwrap_or_default()
}

fn database(basis: &Basis<'_>) -> Option<DatabaseQuestion> {
    if is_absent(basis, EngineKind::Postgres) {
        return None;
    }
    let subject = basis.database_subject();
    let max_age = if is_doubtful(basis) { POLL } else { RESYNC };
    let probe = basis.facts.servers.database.as_ref();
    if !is_due(probe, &subject, max_age, basis.facts.now) {
        return None;
    }
    let databases = basis.databases.databases.iter().map(|spec| RolePassword {
        database: spec.database.clone(),
        role: spec.role.clone(),
        password: basis.credentials.get(&spec.secret, SecretKey::PASSWORD).map(str::to_owned),
    });
    let (databases, address) = (databases.collect(), database_address(basis)?);
    Some(DatabaseQuestion { subject, address, databases })
}

/// How the administrator of the shop's Postgres is reached.
pub(super) fn database_address(basis: &Basis<'_>) -> Option<DatabaseAddress> {
    let plan = &basis.databases;
    let login = basis.login(&plan.admin)?;
    let (host, port, ssl_mode) = (plan.host.clone(), plan.port, plan.ssl_mode);
    Some(DatabaseAddress { host, port, ssl_mode, login })
}

/// How the shop's brokers are reached.
#[expect(clippy::unnecessary_wraps, reason = "a plan of a Shop that cannot be resolved has none")]
pub(super) fn brokers_address(basis: &Basis<'_>) -> Option<BrokersAddress> {
    let plan = &basis.topics;
    let login = plan.security.secret_ref.as_ref().and_then(|secret| basis.login(secret));
    let (bootstrap_servers, security) = (plan.bootstrap_servers.clone(), plan.security.clone());
    Some(BrokersAddress { bootstrap_servers, security, login })
}

/// Whether what was found a while ago may have ended: a schema is due, or pods that need a database fail.
pub(super) fn is_doubtful(basis: &Basis<'_>) -> bool {
    let services = basis.valid.services.iter().filter(|s| s.component.needs(Need::Database));
    services.into_iter().any(|service| {
        let name = names::child(&basis.valid.name, service.component.name);
        let deployment = basis.facts.child("deployments.apps", &name);
        let unavailable = deployment.and_then(|seen| seen.status["unavailableReplicas"].as_i64());
        service.migration_due || unavailable.unwrap_or_default() > 0
    })
}

fn events(basis: &Basis<'_>) -> Option<BrokersQuestion> {
    if is_absent(basis, EngineKind::Kafka) {
        return None;
    }
    let subject = basis.subject(&basis.topics);
    let probe = basis.facts.servers.events.as_ref();
    if !is_due(probe, &subject, RESYNC, basis.facts.now) {
        return None;
    }
    let topics = basis.topics.topics.iter().map(|topic| topic.name.clone()).collect();
    Some(BrokersQuestion { subject, address: brokers_address(basis)?, topics })
}

/// Whether an engine is bundled and has no ready pod.
fn is_absent(basis: &Basis<'_>, engine: EngineKind) -> bool {
    let bundled = match engine {
        EngineKind::Postgres => matches!(basis.valid.database, DatabaseEngine::Bundled(_)),
        EngineKind::Kafka => matches!(basis.valid.events, EventsEngine::Bundled(_)),
        EngineKind::Redis | EngineKind::Objects | EngineKind::Mail => false,
    };
    bundled && !engines::has_ready_pod(basis, engine)
}

/// Services with a new version that thresholds decide about.
fn counters(basis: &Basis<'_>) -> Vec<(ServiceName, i32)> {
    let known = basis.facts.shop.status.iter().flat_map(|status| &status.rollouts);
    let under_way = known.filter(|rollout| rollout.state != RolloutState::Failed);
    under_way
        .filter_map(|rollout| {
            let recipe = basis.valid.service(rollout.name)?.recipe.as_ref()?;
            Some((rollout.name, recipe.thresholds.as_ref()?.latency_milliseconds))
        })
        .collect()
}

/// Jobs that have ended, and whose outcome may not be recorded yet.
fn job_questions(facts: &Facts) -> Vec<JobQuestion> {
    let question = |name: &str, seen: &Seen| {
        let words = match seen.role? {
            Role::Service(_, Duty::Migration) if jobs::is_failed(seen) => JobWords::Log,
            Role::Restore if jobs::is_failed(seen) => JobWords::TerminationMessage,
            Role::Backup if is_news(facts, seen) => JobWords::TerminationMessage,
            _ => return None,
        };
        Some(JobQuestion { job: name.to_owned(), words })
    };
    let jobs = facts.children.iter().filter(|(key, _)| &*key.resource == "jobs.batch");
    jobs.filter_map(|(key, child)| question(&key.name, &child.seen)).collect()
}

/// Whether a backup has ended after the last that the status knows.
fn is_news(facts: &Facts, job: &Seen) -> bool {
    let status = facts.shop.status.as_ref().and_then(|status| status.backup.as_ref());
    let recorded = if jobs::is_failed(job) {
        status.and_then(|status| status.last_failure.as_ref()).map(|last| last.time.0)
    } else {
        status.and_then(|status| status.last_successful.as_ref()).map(|last| last.time.0)
    };
    jobs::ended_at(job) > recorded
}

/// Whether some workload has pods that are not ready.
fn has_unready(facts: &Facts) -> bool {
    let uid = facts.shop.uid();
    facts.children.iter().any(|(key, child)| {
        let status = &child.seen.status;
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        let is_unready = match &*key.resource {
            "deployments.apps" | "statefulsets.apps" => {
                number("observedGeneration") < child.seen.generation
                    || number("readyReplicas") < number("replicas").max(1)
                    || number("unavailableReplicas") > 0
            }
            "jobs.batch" => jobs::ended_at(&child.seen).is_none(),
            _ => false,
        };
        is_unready && child.seen.owner == uid
    })
}

/// Without passwords.
impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres at {}:{}", self.host, self.port)
    }
}

/// Without passwords.
impl fmt::Debug for RolePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database {} of role {}", self.database, self.role)
    }
}

/// Without passwords.
impl fmt::Debug for BrokersAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "brokers {}", self.bootstrap_servers.join(","))
    }
}
