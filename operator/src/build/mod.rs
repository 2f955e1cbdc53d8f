//! [`ValidatedShop`] → everything that should stand in the cluster. Pure functions, one file per
//! kind of object.

mod plans;

use std::collections::BTreeMap;

pub use plans::{
    CredentialKind, CredentialSpec, DatabasePlan, DatabaseSpec, SecretKey, TopicPlan, TopicSpec,
    credentials, databases, topics,
};

use crate::{object::Desired, validate::ValidatedShop};

/// Hashes of the content of the Secrets made from [`credentials`], by name.
pub type SecretHashes = BTreeMap<String, String>;

/// Every object of a shop but its Secrets. The hashes are those of the Secrets made from
/// [`credentials`]: that the caller must have them is what puts Secrets before pods.
pub fn desired(shop: &ValidatedShop, secrets: &SecretHashes) -> Desired {
    let _ = (shop, secrets);
    Desired::default()
}
