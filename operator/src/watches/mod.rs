//! What is watched: Shops, the kinds that they own, Secrets that they refer to, and which optional
//! kinds there are.

mod children;
mod discovery;
mod shops;
mod unreadable;

pub use discovery::{capabilities, discover};

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::core::{ApiResource, NamespaceResourceScope, ObjectMeta, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use operator_core::child::resource_name;
use operator_core::crd::Shop;
use operator_core::kinds::{optional, others, volumes, workloads};
use operator_core::names;
use operator_core::validate::referenced_secrets;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;

use crate::context::Context;

use children::Follower;
use shops::follow_shops;
use unreadable::report_unreadable;

/// Where Shops that need a look are sent.
pub type Wake = mpsc::UnboundedSender<ObjectRef<Shop>>;

/// The watches on one namespace, or on all.
pub struct Watches {
    context: Arc<Context>,
    namespace: Option<String>,
    wake: Wake,
    shops: Store<Shop>,
    writer: Option<Writer<Shop>>,
    tasks: JoinSet<()>,
    optional: HashMap<Arc<str>, AbortHandle>,
}

impl Watches {
    /// Nothing is watched yet, but whoever asks for all Shops waits for these.
    pub fn new(context: Arc<Context>, namespace: Option<String>, wake: Wake) -> Self {
        let (shops, writer) = store();
        context.shops.add(shops.clone());
        let (tasks, optional) = (JoinSet::new(), HashMap::new());
        Self { context, namespace, wake, shops, writer: Some(writer), tasks, optional }
    }

    /// Starts every watch. The future is done when all of them have listed what there is.
    ///
    /// # Panics
    ///
    /// If they were started before.
    pub fn start(&mut self) -> (Store<Shop>, impl Future<Output = ()> + use<>) {
        let mut synced = Vec::new();
        for kind in workloads() {
            let (done, listed) = oneshot::channel();
            self.tasks.spawn(self.follower().follow_status(kind, done));
            synced.push(listed);
        }
        for kind in others().into_iter().chain([volumes()]) {
            let (done, listed) = oneshot::channel();
            self.tasks.spawn(self.follower().follow_metadata(kind, done));
            synced.push(listed);
        }
        self.follow_optional();
        let (api, shops) = (self.api(), self.shops.clone());
        let (queue, unreadable) = mpsc::unbounded_channel();
        let writer = self.writer.take().expect("watches are started once");
        self.tasks.spawn(follow_shops(
            api,
            (shops.clone(), writer),
            self.context.clone(),
            (self.wake.clone(), queue),
        ));
        self.tasks.spawn(report_unreadable(self.context.client.clone(), unreadable));
        let secrets = self.api();
        self.tasks.spawn(follow_references(secrets, shops.clone(), self.wake.clone()));
        let ready = shops.clone();
        let full = async move {
            join_all(synced).await;
            // Fails only when the watch has died, which is noticed elsewhere.
            let _ = ready.wait_until_ready().await;
        };
        (shops, full)
    }

    /// Keeps the watches on optional kinds up to date; returns when any watch has died.
    pub async fn died(&mut self) {
        let mut capabilities = self.context.capabilities.clone();
        loop {
            tokio::select! {
                Some(result) = self.tasks.join_next() => {
                    // Watches on kinds that are gone were stopped on purpose.
                    if !result.is_err_and(|error| error.is_cancelled()) {
                        return;
                    }
                }
                changed = capabilities.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.follow_optional();
                }
            }
        }
    }

    fn follow_optional(&mut self) {
        let capabilities = *self.context.capabilities.borrow();
        let wanted: HashMap<Arc<str>, ApiResource> =
            optional(capabilities).into_iter().map(|kind| (resource_name(&kind), kind)).collect();
        let (cache, namespace) = (&self.context.cache, self.namespace.as_deref());
        self.optional.retain(|name, task| {
            let keep = wanted.contains_key(name);
            if !keep {
                task.abort();
                // What was found true of them must not be believed when the kind comes back.
                cache.forget_kind(name, namespace);
            }
            keep
        });
        for (name, kind) in wanted {
            if !self.optional.contains_key(&name) {
                let (done, _) = oneshot::channel();
                // What the Gateways make of a route stands in its status.
                let task = self.tasks.spawn(self.follower().follow_status(kind, done));
                self.optional.insert(name, task);
            }
        }
    }

    fn follower(&self) -> Follower {
        Follower {
            client: self.context.client.clone(),
            cache: self.context.cache.clone(),
            wake: self.wake.clone(),
            namespace: self.namespace.clone(),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let client = self.context.client.clone();
        match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

/// Wakes Shops when a Secret that they refer to changes. Nothing of the Secrets is kept.
async fn follow_references(api: Api<PartialObjectMeta<Secret>>, shops: Store<Shop>, wake: Wake) {
    let foreign = format!("{}!={}", names::MANAGED_BY_LABEL, names::OPERATOR);
    let config = watcher::Config::default().labels(&foreign);
    let events = watcher(api, config).default_backoff();
    pin_mut!(events);
    let mut listed = false;
    while let Some(event) = events.next().await {
        match event {
            // Every Shop is looked at once all lists are complete.
            Ok(Event::InitApply(_)) if !listed => {}
            Ok(Event::Init) => {}
            Ok(Event::InitDone) => listed = true,
            Ok(Event::Apply(secret) | Event::InitApply(secret) | Event::Delete(secret)) => {
                for shop in shops.state().iter().filter(|shop| refers(shop, &secret.metadata)) {
                    let _ = wake.send(ObjectRef::from_obj(&**shop));
                }
            }
            Err(error) => warn!(%error, "the watch on foreign Secrets failed, it begins anew"),
        }
    }
}

fn refers(shop: &Shop, secret: &ObjectMeta) -> bool {
    let name = secret.name.as_deref().unwrap_or_default();
    shop.metadata.namespace == secret.namespace && referenced_secrets(&shop.spec).contains(name)
}
