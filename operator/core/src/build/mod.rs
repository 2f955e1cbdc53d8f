//! [`ValidatedShop`] → everything that should stand in the cluster. Pure functions, one file per
//! kind of object.

mod backup;
mod engines;
mod env;
mod exposure;
mod extra;
mod jobs;
mod meta;
mod network;
mod plans;
mod pod;
mod services;
mod volume;
mod weights;

use std::collections::BTreeMap;

pub use plans::{
    CredentialKind, CredentialSpec, DatabasePlan, DatabaseSpec, SecretKey, TopicPlan, TopicSpec,
    credentials, databases, topic_names, topics,
};

use k8s_openapi::api::core::v1::PodTemplateSpec;

use crate::{
    crd::ServiceName,
    object::{Desired, Stage},
    validate::ValidatedShop,
};

/// Hashes of the content of the Secrets made from [`credentials`], by name.
pub type SecretHashes = BTreeMap<String, String>;

/// What stands beside or instead of the wanted version of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RolloutPlan {
    /// The template that the service's own pods keep; nothing if they have the wanted one.
    pub kept: Option<PodTemplateSpec>,
    /// Pods of the wanted version beside them.
    pub canary: Option<i32>,
    /// Percent of the requests that those get.
    pub weight: i32,
}

/// The services that are being rolled out in steps.
pub type RolloutPlans = BTreeMap<ServiceName, RolloutPlan>;

/// The pod template of a service as the spec wants it.
pub fn template(
    shop: &ValidatedShop,
    secrets: &SecretHashes,
    service: ServiceName,
) -> Option<PodTemplateSpec> {
    let rollouts = RolloutPlans::new();
    let scope = Scope::new(shop, secrets, &rollouts);
    shop.service(service).map(|service| services::template(&scope, service))
}

/// Every object of a shop that is not rolling out anything in steps.
pub fn desired(shop: &ValidatedShop, secrets: &SecretHashes) -> Desired {
    desired_with(shop, secrets, &RolloutPlans::new())
}

/// Every object of a shop but its Secrets. The hashes are those of the Secrets made from
/// [`credentials`]: that the caller must have them is what puts Secrets before pods.
pub fn desired_with(
    shop: &ValidatedShop,
    secrets: &SecretHashes,
    rollouts: &RolloutPlans,
) -> Desired {
    let scope = Scope::new(shop, secrets, rollouts);
    let mut desired = Desired::default();
    desired.add(Stage::Foundation, services::accounts(shop));
    desired.add(Stage::Foundation, engines::accounts(shop));
    desired.add(Stage::Foundation, backup::accounts(shop));
    desired.add(Stage::Foundation, network::policies(shop));
    desired.add(Stage::Foundation, weights::config_map(&scope));
    desired.add(Stage::Engines, engines::objects(&scope));
    desired.add(Stage::Restore, backup::restoration(&scope));
    desired.add(Stage::Migrations, jobs::migrations(&scope));
    desired.add(Stage::Seeds, jobs::seeds(&scope));
    desired.add(Stage::Workloads, services::objects(&scope));
    desired.add(Stage::Exposure, exposure::objects(shop));
    desired.add(Stage::Backups, backup::backups(&scope));
    desired
}

/// What every builder of pods works from.
struct Scope<'a> {
    shop: &'a ValidatedShop,
    /// Hashes of every Secret that a pod may read, whoever keeps it.
    hashes: SecretHashes,
    /// What is being rolled out in steps.
    rollouts: &'a RolloutPlans,
}

impl<'a> Scope<'a> {
    fn new(shop: &'a ValidatedShop, secrets: &SecretHashes, rollouts: &'a RolloutPlans) -> Self {
        let mut hashes = shop.external_secret_hashes.clone();
        hashes.extend(secrets.clone());
        Self { shop, hashes, rollouts }
    }
}
