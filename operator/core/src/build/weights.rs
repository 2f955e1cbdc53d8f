//! What the gateway is told of services that have two versions.

use std::collections::BTreeMap;

use contracts::{
    ports,
    weights::{FILE, Weight, Weights},
};
use k8s_openapi::api::core::v1::ConfigMap;

use super::{Scope, meta};
use crate::role::{Duty, Role};
use crate::{crd::ServiceName, names, object::Object};

/// The file that the gateway reads, where a service may have two versions.
pub(super) fn config_map(scope: &Scope<'_>) -> Option<Object> {
    let shop = scope.shop;
    if !shop.rolls_out_in_steps() {
        return None;
    }
    let weight = |(service, percent): (&ServiceName, i32)| {
        let host = shop.host_of(Role::Service(*service, Duty::Canary));
        let percent = u8::try_from(percent.clamp(0, 100)).unwrap_or_default();
        (service.to_string(), Weight { percent, url: format!("http://{host}:{}", ports::HTTP) })
    };
    let shared = scope.rollouts.iter().map(|(service, plan)| (service, plan.weight));
    let weights: Weights = shared.filter(|(_, percent)| *percent > 0).map(weight).collect();
    let text = serde_json::to_string(&weights).expect("weights are JSON");
    let mut metadata = meta::child(shop, ServiceName::Gateway);
    metadata.name = Some(names::child(&shop.name, names::WEIGHTS));
    Some(Object::new(&ConfigMap {
        metadata,
        data: Some(BTreeMap::from([(FILE.to_owned(), text)])),
        ..ConfigMap::default()
    }))
}
