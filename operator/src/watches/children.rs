//! The kinds that Shops own.

use std::sync::Arc;

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicObject, DynamicResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use operator_core::names;
use operator_core::object::{HTTP_ROUTE, SERVICE_MONITOR, custom_resource};
use operator_core::validate::Capabilities;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::oneshot;
use tracing::warn;

use super::Wake;
use crate::cache::{Cache, Filler};

/// Kinds whose status matters.
pub fn workloads() -> [ApiResource; 3] {
    [
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<Job>(&()),
    ]
}

/// Kinds of which the metadata is enough.
pub(super) fn others() -> [ApiResource; 9] {
    [
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        ApiResource::erase::<CronJob>(&()),
        ApiResource::erase::<Ingress>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
    ]
}

/// Volumes are watched for drift and left to owner references when a Shop goes: none is ever
/// deleted because a spec does not name it.
pub(super) fn volumes() -> ApiResource {
    ApiResource::erase::<PersistentVolumeClaim>(&())
}

/// Optional kinds that the cluster has.
pub fn optional(capabilities: Capabilities) -> Vec<ApiResource> {
    let monitors = capabilities.service_monitors.then(|| custom_resource(SERVICE_MONITOR));
    let routes = capabilities.http_routes.then(|| custom_resource(HTTP_ROUTE));
    monitors.into_iter().chain(routes).collect()
}

/// Kinds of which objects are deleted when no Shop wants them any more.
pub fn prunable(capabilities: Capabilities) -> Vec<ApiResource> {
    workloads().into_iter().chain(others()).chain(optional(capabilities)).collect()
}

/// The API of a kind in one namespace or all.
fn api<K>(client: Client, namespace: Option<&str>, kind: &K::DynamicType) -> Api<K>
where
    K: Resource<Scope = DynamicResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, kind),
        None => Api::all_with(client, kind),
    }
}

/// One watch on the children of Shops.
pub(super) struct Follower {
    /// Client of the API server.
    pub(super) client: Client,
    /// What the watch fills.
    pub(super) cache: Arc<Cache>,
    /// Whom the watch wakes.
    pub(super) wake: Wake,
    /// The namespace, or all.
    pub(super) namespace: Option<String>,
}

impl Follower {
    /// Follows a kind with its status.
    pub(super) async fn follow_status(self, kind: ApiResource, synced: oneshot::Sender<()>) {
        let api = api::<DynamicObject>(self.client.clone(), self.namespace.as_deref(), &kind);
        let keep = |object: DynamicObject| {
            let status = object.data.get("status").cloned().unwrap_or_default();
            (object.metadata, status)
        };
        self.follow(api, kind, keep, synced).await;
    }

    /// Follows the metadata of a kind; nothing else leaves the API server.
    pub(super) async fn follow_metadata(self, kind: ApiResource, synced: oneshot::Sender<()>) {
        let api = api::<PartialObjectMeta<DynamicObject>>(
            self.client.clone(),
            self.namespace.as_deref(),
            &kind,
        );
        let keep = |object: PartialObjectMeta<DynamicObject>| (object.metadata, Value::Null);
        self.follow(api, kind, keep, synced).await;
    }

    async fn follow<K>(
        self,
        api: Api<K>,
        kind: ApiResource,
        keep: impl Fn(K) -> (ObjectMeta, Value),
        synced: oneshot::Sender<()>,
    ) where
        K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    {
        let ours = watcher::Config::default().labels(&names::managed_selector());
        let events = watcher(api, ours).default_backoff();
        pin_mut!(events);
        let mut filler = Filler::new(self.cache, &kind, self.namespace);
        let mut synced = Some(synced);
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => map(event, &keep),
                Err(error) => {
                    warn!(%error, kind = kind.kind, "watch failed, it begins anew");
                    continue;
                }
            };
            let done = matches!(event, Event::InitDone);
            let touched = filler.take(event);
            // The first list wakes nobody: every Shop is looked at once all lists are complete.
            if synced.is_none() {
                for shop in touched {
                    let _ = self.wake.send(shop);
                }
            } else if done && let Some(synced) = synced.take() {
                let _ = synced.send(());
            }
        }
    }
}

fn map<K, L>(event: Event<K>, keep: impl Fn(K) -> L) -> Event<L> {
    match event {
        Event::Apply(object) => Event::Apply(keep(object)),
        Event::Delete(object) => Event::Delete(keep(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(keep(object)),
        Event::InitDone => Event::InitDone,
    }
}
