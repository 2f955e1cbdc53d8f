//! The engines, resolved.

use std::collections::BTreeMap;

use contracts::mail::{MailAddress, MailFrom};
use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};

use super::{
    BundledServer, CacheEngine, DatabaseEngine, EngineImages, EventsEngine, Identity, MailEngine,
    ObjectStoreEngine, TopicSettings, errors::Errors, model::mail_domain, quantity::canonical,
    scheduling, services,
};
use crate::{
    crd::{BundledEngine, ExternalEvents, Resources, Scheduling, ShopSpec, Storage, Topics},
    names,
};

/// Requests and the memory limit of an engine, unless its Shop says otherwise: CPU, memory, limit.
type Defaults = (&'static str, &'static str, &'static str);

const POSTGRES: Defaults = ("50m", "128Mi", "512Mi");
/// Redis itself stops at 128 MiB; the rest is for copy-on-write while it saves.
const REDIS: Defaults = ("20m", "32Mi", "256Mi");
/// The heap is 256 MiB; the rest is for the JVM itself and the page cache.
const KAFKA: Defaults = ("100m", "384Mi", "768Mi");
const MAIL: Defaults = ("5m", "64Mi", "256Mi");
const OBJECTS: Defaults = ("10m", "32Mi", "256Mi");

pub(super) fn database(
    shop: &ShopSpec,
    images: &EngineImages,
    errors: &mut Errors,
) -> Option<DatabaseEngine> {
    let (path, spec) = ("spec.database", &shop.database);
    match one_of(path, spec.bundled.as_ref(), spec.external.as_ref(), errors)? {
        Choice::Bundled(bundled) => {
            let server = server(path, shop, bundled, &images.postgres, POSTGRES, errors);
            Some(DatabaseEngine::Bundled(server))
        }
        Choice::External(external) => Some(DatabaseEngine::External {
            host: external.host.clone(),
            port: external.port,
            admin: external.admin_secret_ref.clone(),
            ssl_mode: external.ssl_mode,
        }),
    }
}

pub(super) fn cache(
    shop: &ShopSpec,
    images: &EngineImages,
    identity: Option<&Identity>,
    errors: &mut Errors,
) -> Option<CacheEngine> {
    let (path, spec) = ("spec.cache", &shop.cache);
    match one_of(path, spec.bundled.as_ref(), spec.external.as_ref(), errors)? {
        Choice::Bundled(bundled) => {
            let server = server(path, shop, bundled, &images.redis, REDIS, errors);
            Some(CacheEngine::Bundled(server))
        }
        Choice::External(external) => {
            let prefix = || identity.map(|shop| names::key_prefix(&shop.namespace, &shop.name));
            Some(CacheEngine::External {
                url: external.secret_ref.clone(),
                port: external.port,
                key_prefix: external.key_prefix.clone().or_else(prefix).unwrap_or_default(),
            })
        }
    }
}

pub(super) fn events(
    shop: &ShopSpec,
    images: &EngineImages,
    errors: &mut Errors,
) -> Option<EventsEngine> {
    let (path, spec) = ("spec.events", &shop.events);
    match one_of(path, spec.bundled.as_ref(), spec.external.as_ref(), errors)? {
        Choice::Bundled(bundled) => {
            let server = server(path, shop, bundled, &images.kafka, KAFKA, errors);
            Some(EventsEngine::Bundled(server))
        }
        Choice::External(external) => {
            check_kafka(external, errors);
            Some(EventsEngine::External {
                bootstrap_servers: external.bootstrap_servers.clone(),
                security: external.security.clone(),
            })
        }
    }
}

pub(super) fn object_store(
    shop: &ShopSpec,
    images: &EngineImages,
    errors: &mut Errors,
) -> Option<ObjectStoreEngine> {
    let (path, spec) = ("spec.objectStore", &shop.object_store);
    match one_of(path, spec.bundled.as_ref(), spec.external.as_ref(), errors)? {
        Choice::Bundled(bundled) => {
            let server = server(path, shop, bundled, &images.objects, OBJECTS, errors);
            Some(ObjectStoreEngine::Bundled(server))
        }
        Choice::External(external) => Some(ObjectStoreEngine::External(external.clone())),
    }
}

/// The service reads the address by the same rules, and does not start with another.
pub(super) fn check_staff(spec: &ShopSpec, errors: &mut Errors) {
    let address = spec.staff_email.as_deref().map(str::parse::<MailAddress>);
    if let Some(Err(error)) = address {
        errors.invalid("spec.staffEmail", error.to_string());
    }
}

pub(super) fn mail(
    shop: &ShopSpec,
    images: &EngineImages,
    name: &str,
    errors: &mut Errors,
) -> MailEngine {
    let (path, spec) = ("spec.mail", &shop.mail);
    let Some(external) = &spec.external else {
        let bundled = spec.bundled.clone().unwrap_or_default();
        let from = format!("{name} <shop@{}>", mail_domain(name, shop.host.as_deref()));
        if from.parse::<MailFrom>().is_err() {
            errors.invalid("spec.host", "cannot be the domain of an e-mail address");
        }
        return MailEngine::Bundled {
            image: images.mail.clone(),
            resources: resources(path, bundled.resources.as_ref(), MAIL, errors),
            scheduling: nodes(path, &bundled.scheduling, shop, errors),
            from,
        };
    };
    if let Err(error) = external.from.parse::<MailFrom>() {
        errors.invalid("spec.mail.external.from", error.to_string());
    }
    if spec.bundled.is_some() {
        errors.invalid(path, "bundled and external exclude each other");
    }
    MailEngine::External {
        url: external.secret_ref.clone(),
        port: external.port,
        from: external.from.clone(),
    }
}

pub(super) fn topics(
    spec: &Topics,
    events: &EventsEngine,
    namespace: &str,
    shop: &str,
    errors: &mut Errors,
) -> TopicSettings {
    let bundled = matches!(events, EventsEngine::Bundled(_));
    if bundled && spec.replication_factor.is_some_and(|factor| factor > 1) {
        errors.invalid(
            "spec.topics.replicationFactor",
            "must be 1 with events.bundled, which is a single broker",
        );
    }
    TopicSettings {
        prefix: spec.prefix.clone().unwrap_or_else(|| names::topic_prefix(namespace, shop)),
        partitions: spec.partitions,
        replication_factor: spec.replication_factor.unwrap_or(if bundled { 1 } else { 3 }),
        retention_ms: i64::from(spec.retention_hours) * 3_600_000,
    }
}

enum Choice<'a, B, E> {
    Bundled(&'a B),
    External(&'a E),
}

fn one_of<'a, B, E>(
    path: &str,
    bundled: Option<&'a B>,
    external: Option<&'a E>,
    errors: &mut Errors,
) -> Option<Choice<'a, B, E>> {
    match (bundled, external) {
        (Some(bundled), None) => Some(Choice::Bundled(bundled)),
        (None, Some(external)) => Some(Choice::External(external)),
        _ => {
            errors.invalid(path, "exactly one of bundled and external must be set");
            None
        }
    }
}

fn server(
    path: &str,
    shop: &ShopSpec,
    bundled: &BundledEngine,
    image: &str,
    defaults: Defaults,
    errors: &mut Errors,
) -> BundledServer {
    BundledServer {
        image: image.to_owned(),
        storage: Storage { size: canonical(&bundled.storage.size), ..bundled.storage.clone() },
        resources: resources(path, bundled.resources.as_ref(), defaults, errors),
        scheduling: nodes(path, &bundled.scheduling, shop, errors),
    }
}

fn resources(
    path: &str,
    asked: Option<&Resources>,
    (cpu, memory, limit): Defaults,
    errors: &mut Errors,
) -> ResourceRequirements {
    let requests = [("cpu", cpu), ("memory", memory)];
    services::resources(&format!("{path}.bundled"), asked, &requests, &[("memory", limit)], errors)
}

fn nodes(path: &str, own: &Scheduling, shop: &ShopSpec, errors: &mut Errors) -> Box<Scheduling> {
    Box::new(scheduling::resolve(&format!("{path}.bundled"), own, shop, errors))
}

/// A map of quantities from pairs.
pub(crate) fn quantities(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    pairs.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).into()))).collect()
}

fn check_kafka(external: &ExternalEvents, errors: &mut Errors) {
    for (i, server) in external.bootstrap_servers.iter().enumerate() {
        let port = server.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            errors.invalid(
                format!("spec.events.external.bootstrapServers[{i}]"),
                format!("`{server}` must be host:port with a port from 1 to 65535"),
            );
        }
    }
    let security = &external.security;
    let sasl = security.protocol.is_sasl();
    for (field, set) in
        [("mechanism", security.mechanism.is_some()), ("secretRef", security.secret_ref.is_some())]
    {
        if sasl != set {
            errors.invalid(
                format!("spec.events.external.security.{field}"),
                "is required with a SASL protocol and forbidden without one",
            );
        }
    }
}
