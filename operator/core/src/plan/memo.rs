//! What follows from the same inputs is computed once.

use std::sync::Arc;

use crate::build::{self, CredentialSpec, RolloutPlans, SecretHashes};
use crate::credentials::{self, Credentials, PublicKeys};
use crate::object::{Desired, Object};
use crate::validate::ValidatedShop;

/// What the passes of one Shop have in common. Without it, or with that of another Shop, plans are the same and take longer.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    pub(super) public_keys: PublicKeys,
    secrets: Option<(Vec<CredentialSpec>, Credentials, Arc<[Object]>)>,
    desired: Option<(ValidatedShop, SecretHashes, RolloutPlans, Arc<Desired>)>,
}

impl Memo {
    /// The Secrets as objects.
    pub(super) fn secrets(
        &mut self,
        specs: &[CredentialSpec],
        content: &Credentials,
        namespace: &str,
    ) -> Arc<[Object]> {
        if let Some((known, old, objects)) = &self.secrets
            && known == specs
            && old == content
        {
            return objects.clone();
        }
        let objects: Arc<[Object]> = credentials::objects(specs, content, Some(namespace)).into();
        self.secrets = Some((specs.to_vec(), content.clone(), objects.clone()));
        objects
    }

    /// Every other object.
    pub(super) fn desired(
        &mut self,
        shop: &ValidatedShop,
        hashes: &SecretHashes,
        rollouts: &RolloutPlans,
    ) -> Arc<Desired> {
        if let Some((known, old, plans, desired)) = &self.desired
            && known == shop
            && old == hashes
            && plans == rollouts
        {
            return desired.clone();
        }
        let desired = Arc::new(build::desired_with(shop, hashes, rollouts));
        self.desired = Some((shop.clone(), hashes.clone(), rollouts.clone(), desired.clone()));
        desired
    }
}
