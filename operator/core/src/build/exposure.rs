//! What leads to a shop from outside: Ingress, HTTPRoute, and what Prometheus scrapes.

use std::collections::BTreeMap;

use contracts::ports;
use k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort, ServiceSpec},
        networking::v1::{
            HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
            IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde_json::json;

use super::{meta, services::PUBLIC_PORT};
use crate::{
    crd::{self, ServiceName},
    names,
    object::{HTTP_ROUTE, Object, SERVICE_MONITOR},
    role::Role,
    validate::ValidatedShop,
};

/// Component of what belongs to monitoring.
/// Every object that exposes a shop.
pub(super) fn objects(shop: &ValidatedShop) -> Vec<Object> {
    let ingress = shop.gateway.ingress.as_ref().map(|spec| Object::new(&ingress(shop, spec)));
    let route = shop.gateway.http_route.as_ref().filter(|_| shop.http_route);
    let route = route.map(|spec| http_route(shop, spec));
    let metrics =
        shop.service_monitors.then(|| [Object::new(&metrics_service(shop)), service_monitor(shop)]);
    ingress.into_iter().chain(route).chain(metrics.into_iter().flatten()).collect()
}

fn ingress(shop: &ValidatedShop, spec: &crd::Ingress) -> Ingress {
    let mut metadata = meta::child(shop, ServiceName::Gateway);
    metadata.annotations = (!spec.annotations.is_empty()).then(|| spec.annotations.clone());
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: metadata.name.clone().unwrap_or_default(),
            port: Some(ServiceBackendPort { name: Some(ports::HTTP_NAME.into()), number: None }),
        }),
        resource: None,
    };
    let path = HTTPIngressPath { path: Some("/".into()), path_type: "Prefix".into(), backend };
    let tls = spec.tls_secret_name.clone().map(|secret| IngressTLS {
        hosts: Some(shop.host.iter().cloned().collect()),
        secret_name: Some(secret),
    });
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: spec.class_name.clone(),
            rules: Some(vec![IngressRule {
                host: shop.host.clone(),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls: tls.map(|tls| vec![tls]),
            default_backend: None,
        }),
        status: None,
    }
}

fn http_route(shop: &ValidatedShop, spec: &crd::HttpRoute) -> Object {
    let mut metadata = meta::child(shop, ServiceName::Gateway);
    metadata.annotations = (!spec.annotations.is_empty()).then(|| spec.annotations.clone());
    let spec = json!({
        "parentRefs": spec.parent_refs,
        "hostnames": shop.host.iter().collect::<Vec<_>>(),
        "rules": [{ "backendRefs": [{ "name": metadata.name, "port": PUBLIC_PORT }] }],
    });
    Object::custom(HTTP_ROUTE, metadata, &spec)
}

/// One Service without an address in front of the admin ports of all services, so that the
/// Services that shoppers reach do not name that port.
fn metrics_service(shop: &ValidatedShop) -> Service {
    let mut selector = names::shop_selector(&shop.name);
    selector.extend(names::labels([(names::METRICS_LABEL, "true")]));
    Service {
        metadata: meta::child(shop, Role::Metrics),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            selector: Some(selector),
            ports: Some(vec![ServicePort {
                name: Some(ports::ADMIN_NAME.into()),
                port: ports::ADMIN.into(),
                target_port: Some(IntOrString::String(ports::ADMIN_NAME.into())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// One ServiceMonitor per shop. `job` and `service` become the component's name, as they would be
/// with one per service, and `shop` tells shops apart.
fn service_monitor(shop: &ValidatedShop) -> Object {
    let from_label = |label: &str, target: &str| {
        let label = label.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        json!({
            "action": "replace",
            "sourceLabels": [format!("__meta_kubernetes_pod_label_{label}")],
            "targetLabel": target,
        })
    };
    let relabelings = [
        from_label(names::COMPONENT_LABEL, "job"),
        from_label(names::COMPONENT_LABEL, "service"),
        from_label(names::INSTANCE_LABEL, "shop"),
    ];
    let selector: BTreeMap<_, _> = names::selector(&shop.name, Role::Metrics);
    let spec = json!({
        "selector": { "matchLabels": selector },
        "endpoints": [{ "port": ports::ADMIN_NAME, "path": "/metrics", "relabelings": relabelings }],
    });
    let mut metadata = meta::child(shop, Role::Metrics);
    let mut labels = shop.service_monitor_labels.clone();
    labels.append(metadata.labels.get_or_insert_default());
    metadata.labels = Some(labels);
    Object::custom(SERVICE_MONITOR, metadata, &spec)
}
