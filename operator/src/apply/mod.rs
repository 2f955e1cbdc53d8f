//! One generic server-side apply with one field manager, and its opposite, pruning.
//!
//! An object is read and compared only if it or the wish changed since it was last found true,
//! and written only if the comparison says so. See `docs/decisions/0020-apply.md`.

mod error;
mod handover;
mod prune;
mod volume;

pub use error::{Error, Id};
pub use volume::Obstacle;

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use kube::api::{Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject, Status};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client};
use operator_core::child::{ChildKey, Seen};
use operator_core::crd::Shop;
use operator_core::drift;
use operator_core::names::{INSTANCE_LABEL, MANAGED_BY_LABEL, OPERATOR};
use operator_core::object::Object;
use serde::Serialize;
use serde_json::Value;

use crate::cache::{Cache, fingerprint};

/// Requests of one Shop that are under way at the same time.
const CONCURRENCY: usize = 8;

/// An object after it was applied.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// The object as it stands; nothing if it does not exist because writes are stopped.
    pub seen: Option<Seen>,
    /// Whether it is as it should be.
    pub current: bool,
}

/// An object that was applied.
pub type Done<'o> = (&'o Object, Live);
/// An object that was to be applied.
pub type Outcome<'o> = (&'o Object, Result<Live, Error>);

/// Applies and prunes the children of one Shop.
#[derive(Clone)]
pub struct Applier<'a> {
    /// Client with which to read and write.
    pub client: &'a Client,
    /// What is known of the children.
    pub cache: &'a Cache,
    /// The Shop.
    pub shop: ObjectRef<Shop>,
    /// Its UID.
    pub uid: String,
    /// Whether writes are stopped.
    pub paused: bool,
}

impl Applier<'_> {
    /// Applies objects side by side; the results are in their order.
    pub async fn apply_all<'o>(
        &self,
        objects: impl IntoIterator<Item = &'o Object>,
    ) -> Vec<Outcome<'o>> {
        // Boxed, because the compiler cannot see that futures made in a closure are `Send`.
        let waiting: Vec<BoxFuture<'_, Outcome<'o>>> =
            objects.into_iter().map(|object| self.outcome(object).boxed()).collect();
        stream::iter(waiting).buffered(CONCURRENCY).collect().await
    }

    async fn outcome<'o>(&self, object: &'o Object) -> Outcome<'o> {
        (object, self.apply(object).await)
    }

    /// Makes one object what it should be.
    pub async fn apply(&self, object: &Object) -> Result<Live, Error> {
        let key = ChildKey::of(object);
        let wanted = value(object);
        let print = fingerprint(&wanted);
        if let Some(seen) = self.cache.unchanged(&self.shop, &key, print) {
            return Ok(Live { seen: Some(seen), current: true });
        }
        let live = self.get(&object.resource, object.name()).await?;
        let current = match &live {
            Some(live) => {
                self.check_ownership(live, &object.resource)?;
                let live = serde_json::to_value(live).unwrap_or_default();
                drift::is_applied(&wanted, &live, OPERATOR)
            }
            None => false,
        };
        let (seen, current) = match live {
            Some(live) if current => (Some(Seen::of(&live)), true),
            live if self.paused => (live.as_ref().map(Seen::of), false),
            live => (Some(Seen::of(&self.write(object, live).await?)), true),
        };
        if let (Some(seen), true) = (&seen, current) {
            self.cache.note(&self.shop, &key, &seen.version, print);
        }
        Ok(Live { seen, current })
    }

    /// An object of the Shop, whoever owns it.
    pub async fn get(
        &self,
        resource: &ApiResource,
        name: &str,
    ) -> Result<Option<DynamicObject>, Error> {
        let object = self.api(resource).get_opt(name).await;
        object.map_err(|source| Error::Api { verb: "get", object: Id::new(resource, name), source })
    }

    /// Whether an object is the Shop's to change: its own, or one that a Shop of this name left.
    pub fn check_ownership(
        &self,
        live: &DynamicObject,
        resource: &ApiResource,
    ) -> Result<(), Error> {
        let object = Id::new(resource, live.metadata.name.as_deref().unwrap_or_default());
        let owners = live.metadata.owner_references.as_deref().unwrap_or_default();
        match owners.iter().find(|owner| owner.controller == Some(true)) {
            Some(owner) if owner.uid == self.uid => {}
            Some(owner) if owner.kind == "Shop" && owner.name == self.shop.name => {
                return Err(Error::Predecessor { object });
            }
            None if self.is_labelled(live) => {}
            Some(_) | None => return Err(Error::Foreign { object }),
        }
        if live.metadata.deletion_timestamp.is_some() {
            return Err(Error::Terminating { object });
        }
        Ok(())
    }

    async fn write(
        &self,
        object: &Object,
        live: Option<DynamicObject>,
    ) -> Result<DynamicObject, Error> {
        if let Some(live) = &live {
            let live = serde_json::to_value(live).unwrap_or_default();
            if let Some(handover) = handover::replicas(&value(object), &live, OPERATOR) {
                self.patch(object, handover::HANDOVER, &handover).await?;
            }
        }
        match self.patch(object, OPERATOR, &object.body).await {
            // Some fields of Jobs and StatefulSets cannot change. Their pods are not to be lost
            // with a StatefulSet; those of a Job belong to what it did before.
            Err(Error::Api { source: kube::Error::Api(status), .. }) if is_immutable(&status) => {
                let id = Id::new(&object.resource, object.name());
                let (Some(live), Some(policy)) = (live, replacement(&object.resource)) else {
                    let source = kube::Error::Api(status);
                    return Err(Error::Api { verb: "apply", object: id, source });
                };
                let precise = Preconditions {
                    uid: live.metadata.uid,
                    resource_version: live.metadata.resource_version,
                };
                self.delete(&object.resource, object.name(), policy, precise).await?;
                self.patch(object, OPERATOR, &object.body).await
            }
            Err(Error::Api { source: kube::Error::Api(status), verb, object: id }) => {
                Err(match volume::obstacle(object, live.as_ref(), &status) {
                    Some((size, source)) => Error::Volume { object: id, size: size.0, source },
                    None => Error::Api { source: kube::Error::Api(status), verb, object: id },
                })
            }
            result => result,
        }
    }

    async fn patch(
        &self,
        object: &Object,
        manager: &str,
        body: &(impl Serialize + Debug),
    ) -> Result<DynamicObject, Error> {
        let params = PatchParams::apply(manager).force();
        let api = self.api(&object.resource);
        let patched = api.patch(object.name(), &params, &Patch::Apply(body)).await;
        patched.map_err(|source| {
            let object = Id::new(&object.resource, object.name());
            Error::Api { verb: "apply", object, source }
        })
    }

    fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        let namespace = self.shop.namespace.as_deref().unwrap_or_default();
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    fn is_labelled(&self, live: &DynamicObject) -> bool {
        let label = |name| live.metadata.labels.as_ref().and_then(|labels| labels.get(name));
        label(MANAGED_BY_LABEL).is_some_and(|value| value == OPERATOR)
            && label(INSTANCE_LABEL).is_some_and(|value| *value == self.shop.name)
    }
}

/// Whether the API server refused to change a field that cannot change. It has no code of its own.
fn is_immutable(status: &Status) -> bool {
    status.code == 422
        && (status.message.contains("field is immutable")
            || status.message.contains("updates to statefulset spec"))
}

/// How an object of a kind with immutable fields is deleted before it is made anew.
fn replacement(resource: &ApiResource) -> Option<PropagationPolicy> {
    match resource.kind.as_str() {
        "Job" => Some(PropagationPolicy::Background),
        "StatefulSet" => Some(PropagationPolicy::Orphan),
        _ => None,
    }
}

/// A JSON value of an object, for comparison and hashing.
pub fn value(object: &Object) -> Value {
    serde_json::to_value(&object.body).unwrap_or_default()
}
