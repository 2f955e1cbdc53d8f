//! [`ValidatedShop`] → everything that should stand in the cluster. Pure functions, one file per
//! kind of object.

mod backup;
mod engines;
mod env;
mod exposure;
mod jobs;
mod meta;
mod network;
mod plans;
mod pod;
mod services;
mod volume;

use std::collections::BTreeMap;

pub use plans::{
    CredentialKind, CredentialSpec, DatabasePlan, DatabaseSpec, SecretKey, TopicPlan, TopicSpec,
    credentials, databases, topics,
};

use crate::{
    object::{Desired, Stage},
    validate::ValidatedShop,
};

/// Hashes of the content of the Secrets made from [`credentials`], by name.
pub type SecretHashes = BTreeMap<String, String>;

/// Every object of a shop but its Secrets. The hashes are those of the Secrets made from
/// [`credentials`]: that the caller must have them is what puts Secrets before pods.
pub fn desired(shop: &ValidatedShop, secrets: &SecretHashes) -> Desired {
    let mut hashes = shop.external_secret_hashes.clone();
    hashes.extend(secrets.clone());
    let scope = Scope { shop, hashes };
    let mut desired = Desired::default();
    desired.add(Stage::Foundation, services::accounts(shop));
    desired.add(Stage::Foundation, engines::accounts(shop));
    desired.add(Stage::Foundation, backup::accounts(shop));
    desired.add(Stage::Foundation, network::policies(shop));
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
}
