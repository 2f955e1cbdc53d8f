//! Deletes what a Shop no longer wants.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::core::ApiResource;
use operator_core::child::{ChildKey, Seen, resource_name};

use super::{Applier, Error, Id};

impl Applier<'_> {
    /// Deletes what is the Shop's own and no longer wanted. A version that changed since it was
    /// seen, or another object of that name, is left for the next time.
    pub async fn prune(
        &self,
        kinds: &[ApiResource],
        wanted: &BTreeSet<ChildKey>,
        keep: impl Fn(&Seen) -> bool,
    ) -> Result<(), Error> {
        if self.paused {
            return Ok(());
        }
        let kinds: BTreeMap<_, _> = kinds.iter().map(|kind| (resource_name(kind), kind)).collect();
        for (key, seen) in self.cache.children(&self.shop) {
            let ours = seen.owner.as_deref() == Some(self.uid.as_str()) && !seen.deleting;
            let Some(kind) = kinds.get(&key.resource) else { continue };
            if ours && !wanted.contains(&key) && !keep(&seen) {
                let precise = Preconditions {
                    uid: Some(seen.uid.clone()),
                    resource_version: Some(seen.version.clone()),
                };
                self.delete(kind, &key.name, PropagationPolicy::Background, precise).await?;
            }
        }
        Ok(())
    }

    /// Deletes an object if it is still the one that was seen.
    pub async fn delete(
        &self,
        resource: &ApiResource,
        name: &str,
        policy: PropagationPolicy,
        preconditions: Preconditions,
    ) -> Result<(), Error> {
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match self.api(resource).delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(source) => {
                Err(Error::Api { verb: "delete", object: Id::new(resource, name), source })
            }
        }
    }
}
