//! `(Shop, Observed, Config)` → [`ValidatedShop`], or every error with the path of its field.
//!
//! A validated shop carries everything resolved once: what comes after it asks no question again.

mod backup;
mod engines;
mod errors;
mod input;
mod metadata;
mod model;
mod network;
mod quantity;
mod references;
mod rollout;
mod schedule;
mod scheduling;
mod services;
mod variables;

pub use backup::{BackupImages, Backups, Restoration};
pub(crate) use engines::quantities;
pub use errors::{FieldError, FieldErrorReason};
pub use input::{Capabilities, Config, EngineImages, Observed, SecretFacts};
pub use model::{
    BundledServer, CacheEngine, DatabaseEngine, EventsEngine, MailEngine, MissingApi,
    ObjectStoreEngine, Scaling, ServiceInstance, TopicSettings, ValidatedShop,
};
pub use quantity::is_less;
pub(crate) use quantity::memory_share;
pub use references::referenced_secrets;
pub use rollout::{Recipe, Step, Thresholds};

use contracts::{Currency, Network};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use crate::{
    crd::{Shop, ShopSpec},
    names,
};
use errors::Errors;

/// Resolves a Shop, or says everything that is wrong with it.
pub fn validate(
    shop: &Shop,
    observed: &Observed,
    config: &Config,
) -> Result<ValidatedShop, Vec<FieldError>> {
    let mut errors = Errors::default();
    let spec = &shop.spec;
    let identity = identity(shop, &mut errors);
    let images = &config.engine_images;
    let database = engines::database(spec, images, &mut errors);
    let cache = engines::cache(spec, images, identity.as_ref(), &mut errors);
    let events = engines::events(spec, images, &mut errors);
    let object_store = engines::object_store(spec, images, &mut errors);
    let backups = backup::backups(shop, &mut errors);
    let restoration = backup::restoration(shop, identity.as_ref(), &mut errors);
    metadata::check(spec, &mut errors);
    network::check(&spec.network_policies.additional_egress, &mut errors);
    variables::check("spec.env", &spec.env, &mut errors);
    scheduling::check("spec.scheduling", &spec.scheduling, &mut errors);
    let backup_scheduling = backup::scheduling(spec, &mut errors);
    check_currency(spec, &mut errors);
    check_exposure(spec, &mut errors);
    check_networks(spec, &mut errors);
    engines::check_staff(spec, &mut errors);
    check_payments(spec, &mut errors);
    references::check(spec, observed, &mut errors);
    let version = spec.version.as_ref().unwrap_or(&config.version);
    let services = services::resolve(spec, version, observed, config, &mut errors);
    let (
        Some(Identity { name, namespace, owner }),
        Some(database),
        Some(cache),
        Some(events),
        Some(object_store),
    ) = (identity, database, cache, events, object_store)
    else {
        return Err(errors.into());
    };
    let topics = engines::topics(&spec.topics, &events, &namespace, &name, &mut errors);
    let mail = engines::mail(spec, images, &name, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let wants = Capabilities {
        service_monitors: spec.observability.service_monitors,
        http_routes: spec.gateway.http_route.is_some(),
    };
    let has = observed.capabilities;
    Ok(ValidatedShop {
        url: url(spec, &name, &namespace),
        name,
        namespace,
        owner,
        version: version.clone(),
        currency: spec.currency.clone(),
        host: spec.host.clone(),
        pull_policy: spec.images.pull_policy,
        pull_secrets: spec.images.pull_secrets.clone(),
        database,
        cache,
        events,
        object_store,
        backups,
        restoration,
        migrations: spec.migrations.clone(),
        backup_images: backup::images(spec, version, config),
        backup_scheduling,
        topics,
        mail,
        staff_email: spec.staff_email.clone(),
        key_rotation: request(shop, names::ROTATE_SIGNING_KEY),
        sms: spec.sms.clone(),
        payments: spec.payments.clone(),
        limits: spec.limits.clone(),
        search: spec.search.clone(),
        gateway: spec.gateway.clone(),
        services,
        service_monitors: wants.service_monitors && has.service_monitors,
        http_route: wants.http_routes && has.http_routes,
        missing_apis: missing_apis(wants, has),
        service_monitor_labels: spec.observability.service_monitor_labels.clone(),
        env: spec.env.clone(),
        pod_metadata: spec.pod_metadata.clone(),
        otlp_endpoint: spec.observability.otlp_endpoint.clone(),
        network_policies: spec.network_policies.clone(),
        operator_namespace: config.operator_namespace.clone(),
        operator_pod_labels: config.operator_pod_labels.clone(),
        cluster_domain: config.cluster_domain.clone(),
        external_secret_hashes: references::hashes(spec, observed),
    })
}

/// Longest value of an annotation that is compared in full.
const REQUEST_LIMIT: usize = 63;

/// What an annotation asks for, each new value once.
fn request(shop: &Shop, annotation: &str) -> Option<String> {
    let value = shop.metadata.annotations.as_ref()?.get(annotation)?;
    let value: String = value.chars().take(REQUEST_LIMIT).collect();
    (!value.is_empty()).then_some(value)
}

/// Who the Shop is.
struct Identity {
    name: String,
    namespace: String,
    owner: OwnerReference,
}

/// The API server has seen to all of it; a Shop that it has not seen is refused.
fn identity(shop: &Shop, errors: &mut Errors) -> Option<Identity> {
    let name = shop.metadata.name.clone().unwrap_or_default();
    if !names::is_shop_name(&name) {
        errors.invalid(
            "metadata.name",
            format!(
                "must start with a letter, have only lower-case letters, digits and hyphens, and \
                 at most {} of them",
                names::MAX_SHOP_NAME
            ),
        );
        return None;
    }
    let namespace = shop.metadata.namespace.clone();
    let owner = shop.controller_owner_ref(&());
    if namespace.is_none() {
        errors.invalid("metadata.namespace", "is missing");
    }
    if owner.is_none() {
        errors.invalid("metadata.uid", "is missing");
    }
    Some(Identity { name, namespace: namespace?, owner: owner? })
}

/// The schema has the same list, but an older one may be installed, or have let the Shop in.
fn check_currency(spec: &ShopSpec, errors: &mut Errors) {
    if let Err(error) = spec.currency.parse::<Currency>() {
        let what_to_do = "it cannot be changed: create another Shop with the right currency";
        errors.invalid("spec.currency", format!("{error}; {what_to_do}"));
    }
}

fn check_exposure(spec: &ShopSpec, errors: &mut Errors) {
    let exposed = spec.gateway.ingress.is_some() || spec.gateway.http_route.is_some();
    if exposed && spec.host.is_none() {
        errors.invalid("spec.host", "is required when gateway.ingress or gateway.httpRoute is set");
    }
}

fn check_payments(spec: &ShopSpec, errors: &mut Errors) {
    if !spec.payments.test_provider && spec.payments.stripe.is_none() {
        let message = "a shop needs a payment provider: keep testProvider, or set stripe";
        errors.invalid("spec.payments", message);
    }
}

/// The schema knows the characters of a network; whether they make one, the gateway's own reader says.
fn check_networks(spec: &ShopSpec, errors: &mut Errors) {
    let gateway = &spec.gateway;
    for (field, networks) in [
        ("trustedProxies", &gateway.trusted_proxies),
        ("service.loadBalancerSourceRanges", &gateway.service.load_balancer_source_ranges),
    ] {
        for (i, network) in networks.iter().enumerate() {
            if let Err(error) = network.parse::<Network>() {
                errors
                    .invalid(format!("spec.gateway.{field}[{i}]"), format!("`{network}` {error}"));
            }
        }
    }
}

/// Where shoppers reach the shop: its host if it has one, else the gateway's Service.
fn url(spec: &ShopSpec, name: &str, namespace: &str) -> String {
    let Some(host) = &spec.host else {
        let gateway = names::child(name, crate::crd::ServiceName::Gateway.as_str());
        return format!("http://{gateway}.{namespace}.svc");
    };
    let ingress_tls = spec.gateway.ingress.as_ref().is_some_and(|i| i.tls_secret_name.is_some());
    let route_tls = spec.gateway.http_route.as_ref().is_some_and(|route| route.tls);
    let scheme = if ingress_tls || route_tls { "https" } else { "http" };
    format!("{scheme}://{host}")
}

/// What is wanted and not there. It is a condition, never an error: the shop sells without it.
fn missing_apis(wants: Capabilities, has: Capabilities) -> Vec<MissingApi> {
    [
        (wants.service_monitors && !has.service_monitors, MissingApi::ServiceMonitor),
        (wants.http_routes && !has.http_routes, MissingApi::HttpRoute),
    ]
    .into_iter()
    .filter_map(|(missing, api)| missing.then_some(api))
    .collect()
}
