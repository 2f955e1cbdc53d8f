//! On which nodes pods run, resolved.

use super::errors::Errors;
use super::metadata;
use crate::crd::{Scheduling, ShopSpec};
use crate::names;

/// The settings of some pods, and of those that are absent the shop's.
pub(super) fn resolve(
    path: &str,
    own: &Scheduling,
    spec: &ShopSpec,
    errors: &mut Errors,
) -> Scheduling {
    check(path, own, errors);
    own.or(&spec.scheduling)
}

/// The schema cannot judge the keys of a map.
pub(super) fn check(path: &str, scheduling: &Scheduling, errors: &mut Errors) {
    if let Some(labels) = &scheduling.node_selector {
        metadata::check_labels(&format!("{path}.nodeSelector"), labels, errors);
    }
    for (i, spread) in scheduling.topology_spread_constraints.iter().flatten().enumerate() {
        if !names::is_label_key(&spread.topology_key) {
            let path = format!("{path}.topologySpreadConstraints[{i}].topologyKey");
            errors.invalid(path, names::not_a_label_key(&spread.topology_key));
        }
    }
}
