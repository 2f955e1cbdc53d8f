//! The services, resolved.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::{
    Config, Observed, Scaling, ServiceInstance,
    engines::quantities,
    errors::Errors,
    metadata,
    quantity::{canonical_map, milli},
    rollout, scheduling, variables,
};
use crate::{
    components::{COMPONENTS, Component, LIMITS, Need, REPLICAS, REQUESTS},
    crd::{Resources, ServiceSpec, ShopSpec},
};

/// Every enabled service, in the order of the table.
pub(super) fn resolve(
    spec: &ShopSpec,
    version: &str,
    observed: &Observed,
    config: &Config,
    errors: &mut Errors,
) -> Vec<ServiceInstance> {
    check_duplicates(&spec.services, errors);
    let repository = spec.images.repository.as_ref().unwrap_or(&config.image_repository);
    let mut services = Vec::new();
    for component in &COMPONENTS {
        let listed = spec.services.iter().enumerate().find(|(_, s)| s.name == component.name);
        let default = ServiceSpec::new(component.name);
        let (path, settings) = listed.map_or_else(
            || (String::new(), &default),
            |(i, settings)| (format!("spec.services[{i}]"), settings),
        );
        if !settings.enabled {
            check_optional(&path, component, errors);
            continue;
        }
        let image = settings
            .image
            .clone()
            .unwrap_or_else(|| format!("{repository}/{}:{version}", component.name));
        variables::check(&format!("{path}.env"), &settings.env, errors);
        metadata::check_pods(&format!("{path}.podMetadata"), &settings.pod_metadata, errors);
        let migrated = observed.migrated.get(&component.name) == Some(&image);
        let seeded = observed.seeded.contains(&component.name);
        let scaling = scaling(&path, settings, errors);
        services.push(ServiceInstance {
            component,
            scaling,
            recipe: rollout::resolve(&path, settings, scaling, errors),
            resources: resources(&path, settings.resources.as_ref(), &REQUESTS, &LIMITS, errors),
            log_level: settings
                .log_level
                .clone()
                .unwrap_or_else(|| spec.observability.log_level.clone()),
            scheduling: scheduling::resolve(&path, &settings.scheduling, spec, errors).into(),
            env: variables::over(&spec.env, &settings.env),
            pod_metadata: settings.pod_metadata.over(&spec.pod_metadata),
            max_unavailable: settings.disruption_budget.max_unavailable,
            migration_due: component.needs(Need::Database) && !migrated,
            seed_due: spec.demo_data && component.seeds && !seeded,
            image,
        });
    }
    services
}

fn check_duplicates(services: &[ServiceSpec], errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, service) in services.iter().enumerate() {
        if !seen.insert(service.name) {
            errors.invalid(
                format!("spec.services[{i}].name"),
                format!("`{}` is listed twice", service.name),
            );
        }
    }
}

fn check_optional(path: &str, component: &Component, errors: &mut Errors) {
    if !component.optional {
        errors.invalid(
            format!("{path}.enabled"),
            format!("a shop cannot sell without `{}`", component.name),
        );
    }
}

fn scaling(path: &str, settings: &ServiceSpec, errors: &mut Errors) -> Scaling {
    let Some(auto) = &settings.autoscaling else {
        return Scaling::Fixed(settings.replicas.unwrap_or(REPLICAS));
    };
    if settings.replicas.is_some() {
        errors.invalid(format!("{path}.replicas"), "must be absent where autoscaling is set");
    }
    if auto.min_replicas > auto.max_replicas {
        errors.invalid(
            format!("{path}.autoscaling.minReplicas"),
            format!("{} exceeds maxReplicas, which is {}", auto.min_replicas, auto.max_replicas),
        );
    }
    let asked = settings.resources.as_ref();
    if asked.is_some_and(|r| !r.requests.contains_key("cpu") && !r.limits.contains_key("cpu")) {
        errors.invalid(
            format!("{path}.resources.requests.cpu"),
            "is required where autoscaling is set, because the target is a percentage of it",
        );
    }
    Scaling::Auto {
        min: auto.min_replicas,
        max: auto.max_replicas,
        cpu_percent: auto.target_cpu_utilization_percentage,
    }
}

/// What was asked for, checked, or the defaults.
pub(super) fn resources(
    path: &str,
    asked: Option<&Resources>,
    requests: &[(&str, &str)],
    limits: &[(&str, &str)],
    errors: &mut Errors,
) -> ResourceRequirements {
    let (requests, limits) = asked.map_or_else(
        || (quantities(requests), quantities(limits)),
        |asked| (canonical_map(&asked.requests), canonical_map(&asked.limits)),
    );
    for (name, request) in &requests {
        let exceeds = |limit| milli(request).zip(milli(limit)).is_some_and(|(r, l)| r > l);
        if let Some(limit) = limits.get(name).filter(|limit| exceeds(limit)) {
            errors.invalid(
                format!("{path}.resources.requests.{name}"),
                format!("{} exceeds the limit, which is {}", request.0, limit.0),
            );
        }
    }
    ResourceRequirements {
        requests: (!requests.is_empty()).then_some(requests),
        limits: (!limits.is_empty()).then_some(limits),
        claims: None,
    }
}
