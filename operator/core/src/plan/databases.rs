//! Roles and databases, and whose schema each database has.
//!
//! A database says that itself, in a comment that goes with it ([`Comment`]). The first comment is written when no Job of an earlier
//! database of that name is left: a Job that has completed after that has migrated this one.
//! See `docs/decisions/0072-schemas-and-lost-data.md`.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::action::{Action, Phase, Sql};
use super::basis::{Basis, answer_to};
use super::draft::Draft;
use super::engines;
use crate::build::{DatabaseSpec, SecretKey};
use crate::child::ChildKey;
use crate::crd::{DataLoss, ServiceName};
use crate::facts::{Comment, DatabaseServer, DatabaseState, TroubleKind};
use crate::names;
use crate::problem::Problem;
use crate::role::{Duty, EngineKind, Role};
use crate::status::{Part, Reason};
use crate::validate::DatabaseEngine;

/// The state of the databases.
#[derive(Default)]
pub(super) struct Databases {
    /// For the condition.
    pub(super) part: Part,
    /// What went wrong.
    pub(super) problem: Option<Problem>,
    /// Services whose database has no schema at all, by its own account.
    pub(super) empty: BTreeSet<ServiceName>,
    /// What was lost.
    pub(super) data_loss: Option<DataLoss>,
}

/// Plans what the Postgres server lacks.
pub(super) fn plan(basis: &Basis<'_>, draft: &mut Draft<'_>) -> Databases {
    let mut databases = Databases { data_loss: unacknowledged_loss(basis), ..Databases::default() };
    let bundled = matches!(basis.valid.database, DatabaseEngine::Bundled(_));
    if let Some(absent) = engines::absent(basis, bundled, EngineKind::Postgres) {
        databases.part = absent;
        return databases;
    }
    let probe = answer_to(basis.facts.servers.database.as_ref(), &basis.database_subject());
    let Some(probe) = probe else {
        databases.part = engines::not_asked(basis);
        return databases;
    };
    match &probe.answer {
        Ok(server) => {
            databases.empty = empty(basis, server);
            databases.data_loss = data_loss(basis, &databases.empty, databases.data_loss);
            (databases.part, databases.problem) = statements(basis, server, draft);
        }
        Err(trouble) if bundled && trouble.kind == TroubleKind::Unreachable => {
            databases.part = engines::starting("Postgres");
        }
        Err(trouble) => {
            let reason = match trouble.kind {
                TroubleKind::Unreachable => Reason::DatabaseUnreachable,
                TroubleKind::LoginRefused => Reason::DatabaseLoginRefused,
                TroubleKind::RequestFailed => Reason::DatabaseStatementFailed,
            };
            databases.part = Part::Failed(reason, trouble.message.clone());
            databases.problem = Some(Problem::transient(reason, trouble.message.clone()));
        }
    }
    databases
}

/// What is missing, in the order in which it can be made.
fn statements(
    basis: &Basis<'_>,
    server: &DatabaseServer,
    draft: &mut Draft<'_>,
) -> (Part, Option<Problem>) {
    if let Some(problem) = taken(basis, server) {
        return (Part::Failed(problem.reason, problem.message.clone()), Some(problem));
    }
    let (mut due, mut stale) = (Vec::new(), Vec::new());
    for spec in &basis.databases.databases {
        let password = basis.credentials.get(&spec.secret, SecretKey::PASSWORD).unwrap_or_default();
        let (role, password) = (spec.role.clone(), password.to_owned());
        let database = spec.database.clone();
        let has_role = server.roles.contains(&role);
        let Some(known) = server.databases.get(&database) else {
            if !has_role {
                due.push(Sql::CreateRole { role: role.clone(), password });
            }
            due.push(Sql::CreateDatabase { database, role });
            continue;
        };
        if known.open_to_public {
            due.push(Sql::CloseToPublic { database: database.clone() });
        }
        if !known.login_works {
            // Whether it has a schema is seen after a login.
            due.push(Sql::SetPassword { role, password });
        } else if known.comment == Comment::None {
            let image = basis.facts.recorded_schema(spec.service).filter(|_| known.has_schema);
            let old = if image.is_none() { migration_jobs(basis, spec) } else { Vec::new() };
            if old.is_empty() {
                due.push(Sql::Comment { database, image: image.map(str::to_owned) });
            }
            stale.extend(old);
        }
    }
    for key in &stale {
        draft.delete(Phase::StaleJobs, key, false);
    }
    let is_complete = due.is_empty() && stale.is_empty();
    for sql in due {
        draft.act(Phase::Databases, Action::Sql(sql));
    }
    if let Some(problem) = draft.failure(Phase::Databases).or(draft.failure(Phase::StaleJobs)) {
        // Among the failures already.
        return (Part::Failed(problem.reason, problem.message.clone()), None);
    }
    if is_complete {
        let text = format!("{} databases are there", basis.databases.databases.len());
        return (Part::Ready(Reason::DatabasesReady, text), None);
    }
    let text = if stale.is_empty() {
        "databases are being created"
    } else {
        "migration Jobs of databases that are gone are not gone yet"
    };
    (Part::Waiting(Reason::Starting, text.to_owned()), None)
}

/// A database of one of the names that another role owns.
fn taken(basis: &Basis<'_>, server: &DatabaseServer) -> Option<Problem> {
    basis.databases.databases.iter().find_map(|spec| {
        let DatabaseState { owner, .. } = server.databases.get(&spec.database)?;
        (*owner != spec.role).then(|| {
            let DatabaseSpec { database, role, .. } = spec;
            let message =
                format!("database {database} exists and belongs to role {owner}, not to {role}");
            Problem::permanent(Reason::DatabaseTaken, message)
        })
    })
}

/// Migration Jobs of a service, of whatever image.
fn migration_jobs(basis: &Basis<'_>, spec: &DatabaseSpec) -> Vec<ChildKey> {
    let role = Some(Role::Service(spec.service, Duty::Migration));
    let jobs = basis.facts.children.iter().filter(|(_, child)| child.seen.role == role);
    jobs.map(|(key, _)| key.clone()).collect()
}

/// Services whose database has no schema.
fn empty(basis: &Basis<'_>, server: &DatabaseServer) -> BTreeSet<ServiceName> {
    let is_empty = |spec: &&DatabaseSpec| {
        server.databases.get(&spec.database).is_none_or(|state| match &state.comment {
            Comment::Ours(image) => image.is_none(),
            // One that cannot be looked into is not known to be empty.
            Comment::None => state.login_works && !state.has_schema,
        })
    };
    let databases = basis.databases.databases.iter();
    databases.filter(is_empty).map(|spec| spec.service).collect()
}

/// The loss of data in the status, unless it is acknowledged.
fn unacknowledged_loss(basis: &Basis<'_>) -> Option<DataLoss> {
    let facts = basis.facts;
    let loss = facts.shop.status.as_ref()?.data_loss.clone();
    let annotations = facts.shop.metadata.annotations.as_ref();
    let acknowledged =
        annotations.is_some_and(|all| all.contains_key(names::ACKNOWLEDGE_DATA_LOSS));
    loss.filter(|_| facts.is_paused() || !acknowledged)
}

/// What was lost, with what was known to be: the status says of a database that it was migrated, and it is empty.
fn data_loss(
    basis: &Basis<'_>,
    empty: &BTreeSet<ServiceName>,
    known: Option<DataLoss>,
) -> Option<DataLoss> {
    let is_lost = |spec: &&DatabaseSpec| {
        empty.contains(&spec.service) && basis.facts.recorded_schema(spec.service).is_some()
    };
    let lost = basis.databases.databases.iter().filter(is_lost).map(|spec| spec.database.clone());
    let mut databases: BTreeSet<String> = lost.collect();
    if databases.is_empty() {
        return known;
    }
    databases.extend(known.into_iter().flat_map(|known| known.databases));
    let engine = match &basis.valid.database {
        DatabaseEngine::Bundled(_) => "the bundled Postgres".to_owned(),
        DatabaseEngine::External { host, port, .. } => format!("Postgres at {host}:{port}"),
    };
    let databases = databases.into_iter().collect();
    Some(DataLoss { engine, databases, time: Time(basis.facts.now) })
}
