//! What questions and plan have in common: the Shop with everything resolved, and the content of its Secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::memo::Memo;
use crate::build::{self, CredentialSpec, DatabasePlan, SecretHashes, TopicPlan};
use crate::components::COMPONENTS;
use crate::crd::{CredentialsSecretRef, ServiceName};
use crate::credentials::{self, Credentials, hash};
use crate::facts::{Comment, Facts, Probe};
use crate::jobs;
use crate::names;
use crate::problem::Problem;
use crate::role::{Duty, EngineKind, Role};
use crate::status::Reason;
use crate::validate::{
    DatabaseEngine, FieldError, FieldErrorReason, Observed, SecretFacts, ValidatedShop, validate,
};

/// User name and password.
pub type Login = (String, String);

/// A Shop with everything resolved.
pub(super) struct Basis<'a> {
    pub(super) facts: &'a Facts,
    pub(super) valid: ValidatedShop,
    pub(super) specs: Vec<CredentialSpec>,
    pub(super) credentials: Credentials,
    /// Hashes of the Secrets, which restart pods when they change.
    pub(super) hashes: SecretHashes,
    /// Hash of every login that a server's answer may depend on.
    digest: String,
    pub(super) databases: DatabasePlan,
    pub(super) topics: TopicPlan,
    /// Image whose migrations each database has, as far as that is known.
    pub(super) migrated: BTreeMap<ServiceName, String>,
    /// Services whose demo data was written.
    pub(super) seeded: BTreeSet<ServiceName>,
}

/// A Shop that cannot be resolved.
pub(super) struct Unresolved {
    /// The Shop, if its spec is valid.
    pub(super) valid: Option<Box<ValidatedShop>>,
    /// What is wrong.
    pub(super) problem: Problem,
}

impl<'a> Basis<'a> {
    pub(super) fn new(facts: &'a Facts, memo: &mut Memo) -> Result<Self, Unresolved> {
        let observed = observed(facts);
        let valid = validate(&facts.shop, &observed, &facts.config)
            .map_err(|errors| Unresolved { valid: None, problem: invalid(&errors) })?;
        let Observed { migrated, seeded, .. } = observed;
        let databases = build::databases(&valid);
        let specs = build::credentials(&valid);
        let random = (facts.begun, &facts.entropy);
        match credentials::decide(&specs, &facts.secrets, random, &mut memo.public_keys) {
            Ok(credentials) => {
                let topics = build::topics(&valid);
                let hashes = credentials.hashes();
                let digest = digest(&hashes, facts);
                Ok(Self {
                    facts,
                    valid,
                    specs,
                    credentials,
                    hashes,
                    digest,
                    databases,
                    topics,
                    migrated,
                    seeded,
                })
            }
            Err(error) => {
                let message = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                let problem = Problem::permanent(error.reason(), message);
                Err(Unresolved { valid: Some(Box::new(valid)), problem })
            }
        }
    }

    /// User name and password in a Secret, the operator's or not.
    pub(super) fn login(&self, secret: &CredentialsSecretRef) -> Option<Login> {
        let get = |key: &str| {
            let foreign = self.facts.references.get(&secret.name);
            let foreign = foreign.and_then(|content| content.get(key)).map(String::as_str);
            foreign.or_else(|| self.credentials.get(&secret.name, key))
        };
        Some((get(&secret.username_key)?.to_owned(), get(&secret.password_key)?.to_owned()))
    }

    /// Hash of everything that the answer of a server depends on: its address, and every login.
    pub(super) fn subject(&self, server: &impl std::fmt::Debug) -> String {
        names::hash(&format!("{server:?}{}", self.digest))
    }

    /// Hash of everything that the content of the Postgres server depends on: another volume holds something else.
    pub(super) fn database_subject(&self) -> String {
        let volume = match self.valid.database {
            DatabaseEngine::Bundled(_) => self.volume_uid(EngineKind::Postgres),
            DatabaseEngine::External { .. } => None,
        };
        self.subject(&(&self.databases, volume))
    }

    fn volume_uid(&self, engine: EngineKind) -> Option<&str> {
        let name = names::volume_claim(&self.valid.name, engine);
        let claim = self.facts.child("persistentvolumeclaims.", &name)?;
        Some(&claim.uid)
    }
}

fn digest(hashes: &SecretHashes, facts: &Facts) -> String {
    let mut text = format!("{hashes:?}");
    for (name, content) in &facts.references {
        let _ = write!(text, "{name}{}", hash(content));
    }
    names::hash(&text)
}

/// Names of the Secrets that the operator makes for a Shop.
pub(super) fn secret_names(facts: &Facts) -> Vec<String> {
    let valid = validate(&facts.shop, &observed(facts), &facts.config);
    let specs = valid.map(|valid| build::credentials(&valid)).unwrap_or_default();
    specs.into_iter().map(|spec| spec.name).collect()
}

/// An answer, if it is one to this question.
pub(super) fn answer_to<'p, T>(probe: Option<&'p Probe<T>>, subject: &str) -> Option<&'p Probe<T>> {
    probe.filter(|probe| probe.subject == subject)
}

/// What validation takes from the facts.
fn observed(facts: &Facts) -> Observed {
    let known = || facts.shop.status.iter().flat_map(|status| &status.services);
    let mut seeded: BTreeSet<ServiceName> =
        known().filter(|service| service.seeded).map(|service| service.name).collect();
    let completed = |service| {
        let mut children = facts.children.values();
        let role = Some(Role::Service(service, Duty::Seed));
        children.any(|child| child.seen.role == role && jobs::is_complete(&child.seen))
    };
    seeded.extend(
        COMPONENTS.iter().filter(|c| c.seeds && completed(c.name)).map(|component| component.name),
    );
    let references = facts.references.iter();
    Observed {
        capabilities: facts.capabilities,
        secrets: references
            .map(|(name, content)| (name.clone(), SecretFacts::of(content)))
            .collect(),
        migrated: migrated(facts),
        seeded,
    }
}

/// Image whose migrations each database has: by its own account if it was asked, else by the status.
fn migrated(facts: &Facts) -> BTreeMap<ServiceName, String> {
    let recorded = |service: ServiceName| facts.recorded_schema(service).map(str::to_owned);
    let answer = facts.servers.database.as_ref().and_then(|probe| probe.answer.as_ref().ok());
    let services = COMPONENTS.iter().map(|component| component.name);
    let (namespace, shop) =
        (facts.namespace(), facts.shop.metadata.name.clone().unwrap_or_default());
    let schema = |service: ServiceName| {
        let Some(server) = answer else { return recorded(service) };
        let state = server.databases.get(&names::database(&namespace, &shop, service));
        match state.map(|state| (&state.comment, state.has_schema)) {
            Some((Comment::Ours(image), _)) => image.clone(),
            // Operators before this version wrote no comment and kept this in the status alone.
            Some((Comment::None, true)) => recorded(service),
            Some((Comment::None, false)) | None => None,
        }
    };
    services.filter_map(|service| Some((service, schema(service)?))).collect()
}

fn invalid(errors: &[FieldError]) -> Problem {
    let has = |reason| errors.iter().any(|error| error.reason == reason);
    let reason = if has(FieldErrorReason::InvalidSpec) {
        Reason::InvalidSpec
    } else if has(FieldErrorReason::SecretInvalid) {
        Reason::SecretInvalid
    } else {
        Reason::SecretMissing
    };
    let messages: Vec<String> = errors.iter().map(FieldError::to_string).collect();
    Problem::permanent(reason, messages.join("; "))
}
