//! The kinds that Shops own.

use std::sync::Arc;

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicObject, DynamicResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use operator_core::names;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::oneshot;
use tracing::warn;

use super::Wake;
use crate::cache::{Cache, Filler};

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
