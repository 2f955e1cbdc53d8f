//! What becomes of a Shop's data when it is deleted. The spec at that moment decides, so nothing of it was decided before: volumes and
//! credentials have no owner reference, and every Shop has a finalizer, whatever its policy is. See `docs/decisions/0070-deletion.md`.
//!
//! The finalizer never holds a namespace for ever while an operator runs: without the credentials, or when a stage has failed for the
//! limit, what is left is named in an event and the Shop may go. Until then its status says what it waits for.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::action::{Action, Phase, Sql, TopicChange};
use super::basis::Login;
use super::draft::Draft;
use super::questions::{
    BrokersAddress, BrokersQuestion, DatabaseAddress, DatabaseQuestion, Questions, RolePassword,
    is_due,
};
use super::{DeletionProgress, POLL, Plan, failures, finish};
use crate::child::{ChildKey, Seen};
use crate::components::{COMPONENTS, Need};
use crate::crd::{CredentialsSecretRef, DeletionPolicy, ExternalDatabase, ExternalEvents, Shop};
use crate::facts::{Facts, Trouble};
use crate::kinds;
use crate::names;
use crate::status::{self, Reason};
use crate::topics::{Record, holder, prefix};

/// Keeps a Shop until its policy was followed. An operator of an earlier version, which sets it on fewer Shops, must know it too: hence
/// the name.
pub const FINALIZER: &str = "shop-operator.io/external-data";

/// Whether a Shop has the finalizer.
pub(super) fn has_finalizer(shop: &Shop) -> bool {
    shop.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// What could not be dropped in a server.
struct Left {
    text: String,
    /// Whether another attempt may help.
    transient: bool,
}

/// Plans the deletion of a Shop's data, as its policy says, and of its finalizer.
pub(super) fn plan(facts: &Facts) -> Plan {
    let mut draft = Draft::of_deletion(facts);
    if !has_finalizer(&facts.shop) {
        return done(facts, draft, None);
    }
    if facts.shop.spec.deletion_policy == DeletionPolicy::Retain {
        if !release(facts, &mut draft) {
            draft.act(Phase::Release, Action::Finalizer(false));
        }
        return done(facts, draft, None);
    }
    let workloads = workloads(facts);
    for (key, seen) in &workloads {
        if !seen.deleting {
            draft.delete(Phase::StopWorkloads, key, true);
        }
    }
    let mut left_behind = Vec::new();
    if !workloads.is_empty() {
        let names: Vec<String> = workloads.iter().map(|(key, _)| describe(key)).collect();
        let names = names.join(", ");
        if !is_over(facts, facts.deletion.workloads_since) {
            let message = format!("waiting for {names} to be gone");
            return waiting(facts, draft, &message, DeletionProgress::Workloads);
        }
        left_behind.push(names);
    }
    let left = if has_data(facts) { drop_external(facts, &mut draft) } else { Vec::new() };
    if !left.is_empty() {
        let text = left.iter().map(|left| left.text.as_str()).collect::<Vec<_>>().join("; ");
        let transient = left.iter().any(|left| left.transient);
        if transient && !is_over(facts, facts.deletion.servers_since) {
            let message = format!("could not delete {text}");
            return waiting(facts, draft, &message, DeletionProgress::Servers);
        }
        left_behind.push(text);
    } else if draft.actions.iter().any(|planned| planned.phase == Phase::DropExternal) {
        return waiting(facts, draft, "deleting databases and topics", DeletionProgress::Servers);
    }
    for kind in kinds::data() {
        for (key, child) in facts.children.iter().filter(|(key, _)| key.is_of(&kind)) {
            if is_ours(facts, &child.seen) && !child.seen.deleting {
                draft.delete(Phase::DeleteData, key, false);
            }
        }
    }
    if draft.actions.iter().all(|planned| planned.phase != Phase::DeleteData) {
        draft.act(Phase::Release, Action::Finalizer(false));
    }
    let left = (!left_behind.is_empty()).then(|| left_behind.join("; "));
    done(facts, draft, left)
}

/// What has to be asked to delete what is in external servers.
pub(super) fn questions(facts: &Facts) -> Questions {
    let mut questions = Questions::default();
    let delete = facts.shop.spec.deletion_policy == DeletionPolicy::Delete;
    if !delete || !has_finalizer(&facts.shop) || !has_data(facts) {
        return questions;
    }
    if let Some((subject, address)) = database_address(facts) {
        let probe = facts.servers.database.as_ref();
        if is_due(probe, &subject, POLL, facts.now) {
            let databases = database_names(facts).into_iter().map(|database| RolePassword {
                role: database.clone(),
                database,
                password: None,
            });
            let databases = databases.collect();
            questions.database = Some(DatabaseQuestion { subject, address, databases });
        }
    }
    if let Some((subject, address)) = brokers_address(facts) {
        let probe = facts.servers.events.as_ref();
        if is_due(probe, &subject, POLL, facts.now) {
            let topics = crate::build::topic_names(&prefix(&facts.shop)).collect();
            questions.events = Some(BrokersQuestion { subject, address, topics });
        }
    }
    questions
}

fn waiting(facts: &Facts, draft: Draft<'_>, message: &str, progress: DeletionProgress) -> Plan {
    let status = status::deleting(&facts.shop, message, facts.now);
    Plan {
        deletion: Some(progress),
        ..addressed(facts, finish(draft, status, failures(facts), POLL))
    }
}

fn done(facts: &Facts, draft: Draft<'_>, left: Option<String>) -> Plan {
    let status = facts.shop.status.clone().unwrap_or_default();
    let plan = addressed(facts, finish(draft, status, failures(facts), POLL));
    Plan { deletion: Some(DeletionProgress::Done { left }), ..plan }
}

fn addressed(facts: &Facts, plan: Plan) -> Plan {
    Plan {
        database: database_address(facts).map(|(_, address)| address),
        brokers: brokers_address(facts).map(|(_, address)| address),
        ..plan
    }
}

fn is_over(facts: &Facts, since: Option<Timestamp>) -> bool {
    let age = since.map(|since| facts.now.duration_since(since));
    age.unwrap_or(SignedDuration::ZERO) > facts.deletion.limit
}

/// Removes owner references from what holds data: operators before this version set them under `Delete`. False if there are none.
fn release(facts: &Facts, draft: &mut Draft<'_>) -> bool {
    let uid = facts.uid();
    let mut found = false;
    for kind in kinds::data() {
        for (key, child) in facts.children.iter().filter(|(key, _)| key.is_of(&kind)) {
            let is_data = &*key.resource != "configmaps.";
            if is_data && child.seen.owner.as_deref() == Some(uid.as_str()) {
                let (resource, name) = (kind.clone(), key.name.clone());
                draft.act(Phase::DeleteData, Action::Disown { resource, name });
                found = true;
            }
        }
    }
    found
}

/// The Shop's own workloads, which talk to the servers.
fn workloads(facts: &Facts) -> Vec<(&ChildKey, &Seen)> {
    let (kinds, uid) = (kinds::workloads(), facts.uid());
    let own = facts.children.iter().filter(|(key, child)| {
        kinds.iter().any(|kind| key.is_of(kind)) && child.seen.owner.as_deref() == Some(&uid)
    });
    own.map(|(key, child)| (key, &child.seen)).collect()
}

fn describe(key: &ChildKey) -> String {
    let kind = key.resource.split('.').next().unwrap_or_default();
    format!("{kind}/{}", key.name)
}

/// Whether this Shop has made or adopted anything. One whose spec was never valid has not, and what a Shop of its name left before it is
/// not its to delete.
fn has_data(facts: &Facts) -> bool {
    // Credentials come before databases and topics, and the status after them.
    let mut secrets = facts.children.iter().filter(|(key, _)| &*key.resource == "secrets.");
    was_valid(facts) || secrets.any(|(_, child)| is_ours(facts, &child.seen))
}

fn was_valid(facts: &Facts) -> bool {
    facts.shop.status.as_ref().is_some_and(|status| status.version.is_some())
}

fn is_ours(facts: &Facts, seen: &Seen) -> bool {
    let uid = facts.uid();
    match &seen.shop_uid {
        Some(mark) => *mark == uid,
        // Operators before this version have set no mark.
        None if !seen.has_owners => was_valid(facts),
        None => seen.owner.as_deref() == Some(&uid),
    }
}

/// Drops what is in external servers. The rest of the spec plays no part in it. Returns what cannot be dropped.
fn drop_external(facts: &Facts, draft: &mut Draft<'_>) -> Vec<Left> {
    let mut left = Vec::new();
    if let Some(external) = &facts.shop.spec.database.external {
        left.extend(drop_databases(facts, external, draft));
    }
    if let Some(external) = &facts.shop.spec.events.external {
        left.extend(delete_topics(facts, external, draft));
    }
    left
}

/// The database of every service, enabled or not: one that was disabled has kept its own.
fn database_names(facts: &Facts) -> Vec<String> {
    let services = COMPONENTS.iter().filter(|component| component.needs(Need::Database));
    let (namespace, shop) = (facts.namespace(), facts.shop.name_any());
    services.map(|service| names::database(&namespace, &shop, service.name)).collect()
}

fn drop_databases(
    facts: &Facts,
    external: &ExternalDatabase,
    draft: &mut Draft<'_>,
) -> Option<Left> {
    let left = |names: &[String], why: &str, transient| {
        let (host, port) = (&external.host, external.port);
        let text = format!("databases {} on {host}:{port} ({why})", names.join(", "));
        Some(Left { text, transient })
    };
    let names = database_names(facts);
    let Some((subject, _)) = database_address(facts) else {
        let secret = &external.admin_secret_ref;
        return left(&names, &missing("spec.database.external.adminSecretRef", secret), false);
    };
    let probe = facts.servers.database.as_ref().filter(|probe| probe.subject == subject);
    let server = match probe.map(|probe| &probe.answer) {
        None => return left(&names, "the server was not asked yet", true),
        Some(Err(Trouble { message, .. })) => return left(&names, message, true),
        Some(Ok(server)) => server,
    };
    let mut due = Vec::new();
    for name in &names {
        let owner = server.databases.get(name).map(|state| &state.owner);
        if owner.is_some_and(|owner| owner != name) {
            continue;
        }
        if owner.is_some() {
            due.push(Sql::DropDatabase { database: name.clone(), role: name.clone() });
        }
        if server.roles.contains(name) {
            due.push(Sql::DropRole { role: name.clone() });
        }
    }
    for sql in due {
        draft.act(Phase::DropExternal, Action::Sql(sql));
    }
    let problem = draft.failure(Phase::DropExternal)?;
    let there: Vec<String> =
        names.into_iter().filter(|name| server.databases.contains_key(name)).collect();
    if there.is_empty() { None } else { left(&there, &problem.message, !problem.permanent) }
}

/// Deletes the topics that this Shop has made or adopted.
fn delete_topics(facts: &Facts, external: &ExternalEvents, draft: &mut Draft<'_>) -> Option<Left> {
    let left = |why: &str, transient| {
        let brokers = external.bootstrap_servers.join(", ");
        let text = format!("topics {}.* on {brokers} ({why})", prefix(&facts.shop));
        Some(Left { text, transient })
    };
    let Some((subject, _)) = brokers_address(facts) else {
        let secret = external.security.secret_ref.as_ref();
        let path = "spec.events.external.security.secretRef";
        return left(&secret.map(|secret| missing(path, secret)).unwrap_or_default(), false);
    };
    let probe = facts.servers.events.as_ref().filter(|probe| probe.subject == subject);
    let brokers = match probe.map(|probe| &probe.answer) {
        None => return left("the brokers were not asked yet", true),
        Some(Err(Trouble { message, .. })) => return left(message, true),
        Some(Ok(brokers)) => brokers,
    };
    if holder(&facts.shop, &brokers.cluster, &facts.rivals).is_some() {
        // This Shop never had any.
        return None;
    }
    let record = Record::read(&facts.shop, facts.topic_record.as_ref());
    let present: BTreeSet<String> = brokers.topics.keys().cloned().collect();
    let own = &record.topics(&brokers.cluster) & &present;
    if !own.is_empty() {
        draft.act(Phase::DropExternal, Action::Topics(TopicChange::Delete(own)));
    }
    let failures = facts.failures.iter().filter(|f| f.phase == Phase::DropExternal);
    let mut failures = failures.filter(|failure| failure.action.starts_with("delete topics"));
    let problem = &failures.next()?.problem;
    left(&problem.message, !problem.permanent)
}

/// The server with the databases, and the hash of what its answer depends on.
fn database_address(facts: &Facts) -> Option<(String, DatabaseAddress)> {
    let external = facts.shop.spec.database.external.as_ref()?;
    let login = login(facts, &external.admin_secret_ref)?;
    let (host, port, ssl_mode) = (external.host.clone(), external.port, external.ssl_mode);
    let subject = names::hash(&format!("deletion {host}:{port} {login:?}"));
    Some((subject, DatabaseAddress { host, port, ssl_mode, login }))
}

/// The brokers with the topics, and the hash of what their answer depends on.
fn brokers_address(facts: &Facts) -> Option<(String, BrokersAddress)> {
    let external = facts.shop.spec.events.external.as_ref()?;
    let login = match &external.security.secret_ref {
        Some(secret) => Some(login(facts, secret)?),
        None => None,
    };
    let bootstrap_servers = external.bootstrap_servers.clone();
    let subject = names::hash(&format!("deletion {bootstrap_servers:?} {login:?}"));
    let security = external.security.clone();
    Some((subject, BrokersAddress { bootstrap_servers, security, login }))
}

fn login(facts: &Facts, secret: &CredentialsSecretRef) -> Option<Login> {
    let content = facts.references.get(&secret.name)?;
    Some((content.get(&secret.username_key)?.clone(), content.get(&secret.password_key)?.clone()))
}

fn missing(path: &str, secret: &CredentialsSecretRef) -> String {
    let CredentialsSecretRef { name, username_key, password_key } = secret;
    let word = Reason::SecretMissing.as_str();
    format!(
        "{word}: {path}: there is no Secret {name} with the keys {username_key} and {password_key}"
    )
}
