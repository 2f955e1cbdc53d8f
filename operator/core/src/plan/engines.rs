//! The servers that a shop uses.

use super::basis::{Basis, answer_to};
use super::pods;
use crate::child::Seen;
use crate::names;
use crate::role::EngineKind;
use crate::status::{Part, Reason};
use crate::validate::{CacheEngine, ObjectStoreEngine};
use url::Url;

/// Port of Redis in a URL that names none.
const REDIS_PORT: u16 = 6379;

/// Redis.
pub(super) fn cache(basis: &Basis<'_>) -> Part {
    let bundled = matches!(basis.valid.cache, CacheEngine::Bundled(_));
    let ready = Part::Ready(Reason::CacheReady, "Redis answers".to_owned());
    if bundled {
        return absent(basis, true, EngineKind::Redis).unwrap_or(ready);
    }
    let subject = basis.subject(&cache_address(basis));
    match answer_to(basis.facts.servers.cache.as_ref(), &subject) {
        Some(probe) if probe.answer.is_ok() => ready,
        None if cache_address(basis).is_some() => not_asked(basis),
        _ => Part::Waiting(Reason::CacheUnreachable, "Redis does not answer".to_owned()),
    }
}

/// The object store.
pub(super) fn object_store(basis: &Basis<'_>) -> Part {
    let bundled = matches!(basis.valid.object_store, ObjectStoreEngine::Bundled(_));
    let ready = Part::Ready(Reason::ObjectStoreReady, "the object store answers".to_owned());
    if bundled {
        return absent(basis, true, EngineKind::Objects).unwrap_or(ready);
    }
    let subject = basis.subject(&object_store_address(basis));
    match answer_to(basis.facts.servers.object_store.as_ref(), &subject) {
        Some(probe) if probe.answer.is_ok() => ready,
        None if object_store_address(basis).is_some() => not_asked(basis),
        _ => {
            let text = "the object store does not answer";
            Part::Waiting(Reason::ObjectStoreUnreachable, text.to_owned())
        }
    }
}

/// `host:port` of an external Redis.
pub(super) fn cache_address(basis: &Basis<'_>) -> Option<String> {
    let CacheEngine::External { url, .. } = &basis.valid.cache else { return None };
    let url = Url::parse(basis.facts.references.get(&url.name)?.get(&url.key)?).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port().unwrap_or(REDIS_PORT)))
}

/// `host:port` of an external object store.
pub(super) fn object_store_address(basis: &Basis<'_>) -> Option<String> {
    let ObjectStoreEngine::External(store) = &basis.valid.object_store else { return None };
    let url = Url::parse(&store.endpoint).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// That a bundled engine has no ready pod.
pub(super) fn absent(basis: &Basis<'_>, bundled: bool, engine: EngineKind) -> Option<Part> {
    if !bundled || has_ready_pod(basis, engine) {
        return None;
    }
    let starts = || Part::Waiting(Reason::Starting, format!("{engine} has no ready pod yet"));
    Some(pods::of_engine(basis.facts, engine).unwrap_or_else(starts))
}

/// Whether an engine's StatefulSet has a ready pod, and one of its desired state: an older one may know another password.
pub(super) fn has_ready_pod(basis: &Basis<'_>, engine: EngineKind) -> bool {
    let name = names::child(&basis.valid.name, engine);
    basis.facts.child("statefulsets.apps", &name).is_some_and(is_ready)
}

fn is_ready(workload: &Seen) -> bool {
    let number = |field: &str| workload.status[field].as_i64().unwrap_or(0);
    number("observedGeneration") >= workload.generation
        && number("updatedReplicas") > 0
        && number("readyReplicas") > 0
}

/// That an engine was not asked: while writes are stopped, nothing is.
pub(super) fn not_asked(basis: &Basis<'_>) -> Part {
    if basis.facts.is_paused() {
        let text = "not checked while writes are stopped".to_owned();
        return Part::Waiting(Reason::PausedByAnnotation, text);
    }
    Part::Waiting(Reason::Starting, "not checked yet".to_owned())
}

/// That a bundled engine has a ready pod and does not answer.
pub(super) fn starting(engine: &str) -> Part {
    Part::Waiting(Reason::Starting, format!("{engine} does not accept connections yet"))
}
