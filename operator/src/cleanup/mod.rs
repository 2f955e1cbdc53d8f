//! What becomes of a Shop's data when it is deleted. The spec at that moment decides, so nothing of it may have been
//! decided before: volumes and credentials carry no owner reference, and every Shop carries a finalizer, whatever its
//! policy is. See `docs/decisions/0070-deletion.md`.
//!
//! The finalizer never holds a namespace for ever while an operator runs: without the credentials, or when a stage has
//! failed for ten minutes, what is left is named in an event and the Shop may go. Until then its status says what it
//! waits for.

mod external;

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta, Selector};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt as _};
use operator_core::child::ChildKey;
use operator_core::crd::{DeletionPolicy, Shop};
use operator_core::names;
use operator_core::status::{self, Reason};
use serde_json::json;
use tokio::time::Instant;

use crate::apply::Applier;
use crate::context::{Context, Stage};
use crate::error::Error;
use crate::reconcile::write_status;
use crate::watches::workloads;
use external::Left;

/// Keeps a Shop until its policy was followed. An operator of an earlier version, which sets it on fewer Shops, must
/// know it too: hence the name.
pub const FINALIZER: &str = "shop-operator.io/external-data";
/// Wait for pods to go before their databases do.
const POLL: Duration = Duration::from_secs(2);

/// The Shop with its finalizer, which is set before anything is made for it. Nothing if the Shop has changed since it
/// was read: the watch brings the new one.
pub async fn ensure_finalizer<'s>(
    shop: &'s Shop,
    client: &Client,
) -> Result<Option<Cow<'s, Shop>>, Error> {
    if has_finalizer(shop) {
        return Ok(Some(Cow::Borrowed(shop)));
    }
    match set_finalizer(shop, client, true).await {
        Ok(shop) => Ok(shop.map(Cow::Owned)),
        Err(Error::Finalizer(kube::Error::Api(answer))) if answer.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Does to the data of a deleted Shop what its spec says now, and lets the Shop go.
pub async fn finish(shop: &Shop, context: &Context) -> Result<Action, Error> {
    let name = ObjectRef::from_obj(shop);
    // The watch may not have seen the last change of the policy yet.
    if let Some(shop) = current(shop, &context.client).await?
        && has_finalizer(&shop)
    {
        let deletion = Deletion { shop: &shop, context };
        match shop.spec.deletion_policy {
            DeletionPolicy::Retain => deletion.release().await?,
            DeletionPolicy::Delete => {
                if !deletion.stop().await? {
                    return Ok(Action::requeue(POLL));
                }
                deletion.erase().await?;
            }
        }
        set_finalizer(&shop, &context.client, false).await?;
    }
    context.checks.forget(&name);
    context.failing.forget(&name);
    context.cache.forget(&name);
    Ok(Action::await_change())
}

/// The Shop as it is now, if it is still there.
async fn current(shop: &Shop, client: &Client) -> Result<Option<Shop>, Error> {
    let api: Api<Shop> = Api::namespaced(client.clone(), &shop.namespace().unwrap_or_default());
    let now = api.get_opt(&shop.name_any()).await;
    let now = now.map_err(|source| Error::Observe { what: "the Shop", source })?;
    Ok(now.filter(|now| now.uid() == shop.uid()))
}

/// The deletion of one Shop.
struct Deletion<'a> {
    shop: &'a Shop,
    context: &'a Context,
}

impl Deletion<'_> {
    /// Removes owner references from what holds data: operators before this version set them under `Delete`.
    async fn release(&self) -> Result<(), Error> {
        let uid = self.shop.uid().unwrap_or_default();
        for kind in
            [ApiResource::erase::<PersistentVolumeClaim>(&()), ApiResource::erase::<Secret>(&())]
        {
            for object in self.list(&kind).await? {
                let owners = object.owner_references();
                let others: Vec<_> = owners.iter().filter(|owner| owner.uid != uid).collect();
                if others.len() == owners.len() {
                    continue;
                }
                let version = &object.metadata.resource_version;
                let patch = json!({ "metadata": {
                    "resourceVersion": version, "ownerReferences": others,
                } });
                let patch = Patch::Merge(patch);
                let done = self
                    .api(&kind)
                    .patch(&object.name_any(), &PatchParams::default(), &patch)
                    .await;
                gone_is_done(done)?;
            }
        }
        Ok(())
    }

    /// Deletes the data that this Shop has made or adopted, in the cluster and outside.
    async fn erase(&self) -> Result<(), Error> {
        let failures = if self.has_data().await? { self.drop_external().await } else { Vec::new() };
        let left: Vec<_> = failures.iter().map(Left::to_string).collect();
        if !left.is_empty() {
            let left = left.join("; ");
            let is_transient = |left: &Left| !left.error.is_permanent();
            if let Some(failure) = failures.into_iter().find(is_transient)
                && !self.has_failed_for_long()
            {
                self.report(&format!("could not delete {left}")).await?;
                return Err(failure.error);
            }
            self.leave(&left).await;
        }
        for kind in [
            ApiResource::erase::<PersistentVolumeClaim>(&()),
            ApiResource::erase::<Secret>(&()),
            ApiResource::erase::<ConfigMap>(&()),
        ] {
            let objects = self.list(&kind).await?.into_iter();
            for object in objects.filter(|object| self.is_ours(object)) {
                let same = Preconditions { uid: object.uid(), resource_version: None };
                let params = DeleteParams::background().preconditions(same);
                gone_is_done(self.api(&kind).delete(&object.name_any(), &params).await)?;
            }
        }
        Ok(())
    }

    /// Whether this Shop has made or adopted anything. One whose spec was never valid has not, and what a Shop of its
    /// name left before it is not its to delete.
    async fn has_data(&self) -> Result<bool, Error> {
        let secrets = ApiResource::erase::<Secret>(&());
        // Credentials come before databases and topics, and the status after them.
        Ok(self.was_valid() || self.list(&secrets).await?.iter().any(|o| self.is_ours(o)))
    }

    fn was_valid(&self) -> bool {
        self.shop.status.as_ref().is_some_and(|status| status.version.is_some())
    }

    fn is_ours(&self, object: &PartialObjectMeta<DynamicObject>) -> bool {
        let (uid, owners) = (self.shop.uid().unwrap_or_default(), object.owner_references());
        match object.annotations().get(names::SHOP_UID) {
            Some(shop) => *shop == uid,
            // Operators before this version have set no mark.
            None if owners.is_empty() => self.was_valid(),
            None => owners.iter().any(|owner| owner.uid == uid),
        }
    }

    /// Metadata of the objects of a kind that carry the labels of the Shop.
    async fn list(
        &self,
        kind: &ApiResource,
    ) -> Result<Vec<PartialObjectMeta<DynamicObject>>, Error> {
        let labels: Selector = names::shop_selector(&self.shop.name_any()).into_iter().collect();
        let ours = ListParams::default().labels_from(&labels);
        let list = self.api(kind).list_metadata(&ours).await;
        let managed = |object: &PartialObjectMeta<DynamicObject>| {
            object.labels().get(names::MANAGED_BY_LABEL).is_some_and(|by| by == names::OPERATOR)
        };
        Ok(list.map_err(Error::Cleanup)?.items.into_iter().filter(managed).collect())
    }

    fn api(&self, kind: &ApiResource) -> Api<DynamicObject> {
        let namespace = self.shop.namespace().unwrap_or_default();
        Api::namespaced_with(self.context.client.clone(), &namespace, kind)
    }

    fn applier(&self) -> Applier<'_> {
        Applier {
            client: &self.context.client,
            cache: &self.context.cache,
            shop: ObjectRef::from_obj(self.shop),
            uid: self.shop.uid().unwrap_or_default(),
            // A pause never stops a deletion.
            paused: false,
        }
    }

    /// Deletes what talks to the servers; true when that is gone, or will not go.
    async fn stop(&self) -> Result<bool, Error> {
        let left = self.stop_workloads().await?;
        let name = ObjectRef::from_obj(self.shop);
        if left.is_empty() {
            // Servers have their own time to answer.
            self.context.failing.forget_stage(&name, Stage::Workloads);
            return Ok(true);
        }
        let left = left.join(", ");
        if self.context.failing.is_over(&name, Stage::Workloads, Instant::now()) {
            self.leave(&left).await;
            return Ok(true);
        }
        self.report(&format!("waiting for {left} to be gone")).await?;
        Ok(false)
    }

    fn has_failed_for_long(&self) -> bool {
        let name = ObjectRef::from_obj(self.shop);
        self.context.failing.is_over(&name, Stage::Servers, Instant::now())
    }

    /// Says in the status what the deletion waits for.
    async fn report(&self, message: &str) -> Result<(), Error> {
        let status = status::deleting(self.shop, message, Timestamp::now());
        write_status(self.shop, self.context, &status).await.map(drop)
    }

    /// Says in an event what is not deleted.
    async fn leave(&self, left: &str) {
        let note = format!("left behind: {left}");
        self.context.events.warn(self.shop, Reason::DataLeft, "Delete", &note).await;
    }

    /// Deletes what talks to the servers; names what is left.
    async fn stop_workloads(&self) -> Result<Vec<String>, Error> {
        let applier = self.applier();
        let kinds = workloads();
        let is_workload = |key: &ChildKey| kinds.iter().any(|kind| key.is_of(kind));
        applier.prune(&kinds, &std::collections::BTreeSet::new(), |_| false).await?;
        let children = self.context.cache.children(&applier.shop);
        let left = children
            .into_iter()
            .filter(|(key, seen)| is_workload(key) && seen.owner.as_deref() == Some(&applier.uid));
        let name = |key: ChildKey| {
            let kind = key.resource.split('.').next().unwrap_or_default();
            format!("{kind}/{}", key.name)
        };
        Ok(left.map(|(key, _)| name(key)).collect())
    }
}

fn gone_is_done<T>(result: kube::Result<T>) -> Result<(), Error> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(error) => Err(Error::Cleanup(error)),
    }
}

fn has_finalizer(shop: &Shop) -> bool {
    shop.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Changes our finalizer alone, at the version that was read. Returns the changed Shop if it is still there.
async fn set_finalizer(shop: &Shop, client: &Client, wanted: bool) -> Result<Option<Shop>, Error> {
    let mut finalizers: Vec<&str> = shop.finalizers().iter().map(String::as_str).collect();
    finalizers.retain(|finalizer| *finalizer != FINALIZER);
    if wanted {
        finalizers.push(FINALIZER);
    }
    let version = &shop.metadata.resource_version;
    let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": finalizers } });
    let api: Api<Shop> = Api::namespaced(client.clone(), &shop.namespace().unwrap_or_default());
    match api.patch(&shop.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(shop) => Ok(Some(shop)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(Error::Finalizer(error)),
    }
}
