//! Keys of labels and annotations that are passed on, which a schema cannot judge.

use std::collections::BTreeMap;

use super::errors::Errors;
use crate::crd::{PodMetadata, ShopSpec};
use crate::names;

/// Every map of the spec but those of single services.
pub(super) fn check(spec: &ShopSpec, errors: &mut Errors) {
    let gateway = &spec.gateway;
    check_pods("spec.podMetadata", &spec.pod_metadata, errors);
    check_labels(
        "spec.observability.serviceMonitorLabels",
        &spec.observability.service_monitor_labels,
        errors,
    );
    check_annotations("spec.gateway.service.annotations", &gateway.service.annotations, errors);
    if let Some(ingress) = &gateway.ingress {
        check_annotations("spec.gateway.ingress.annotations", &ingress.annotations, errors);
    }
    if let Some(route) = &gateway.http_route {
        check_annotations("spec.gateway.httpRoute.annotations", &route.annotations, errors);
    }
}

/// Labels and annotations of pods.
pub(super) fn check_pods(path: &str, metadata: &PodMetadata, errors: &mut Errors) {
    check_labels(&format!("{path}.labels"), &metadata.labels, errors);
    check_annotations(&format!("{path}.annotations"), &metadata.annotations, errors);
}

/// Labels, e.g. of a node selector.
pub(super) fn check_labels(path: &str, labels: &BTreeMap<String, String>, errors: &mut Errors) {
    for key in labels.keys().filter(|key| !names::is_label_key(key)) {
        errors.invalid(path, names::not_a_label_key(key));
    }
}

/// The API server reads the keys of annotations in lower case.
fn check_annotations(path: &str, annotations: &BTreeMap<String, String>, errors: &mut Errors) {
    for key in annotations.keys().filter(|key| !names::is_label_key(&key.to_ascii_lowercase())) {
        errors.invalid(path, names::not_a_label_key(key));
    }
}
