//! The watch on Shops.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use futures_util::{StreamExt as _, pin_mut};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Api, ResourceExt as _};
use operator_core::crd::Shop;
use operator_core::topics::competes;
use tracing::warn;

use super::Wake;
use super::unreadable::{Unreadable, unwrap_readable};
use crate::context::Context;

/// Keeps the store of Shops and wakes those that were changed by somebody else: an own status
/// is no news.
pub(super) async fn follow_shops(
    api: Api<DeserializeGuard<Shop>>,
    (shops, writer): (Store<Shop>, Writer<Shop>),
    context: Arc<Context>,
    (wake, queue): (Wake, Unreadable),
) {
    let stripped = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|shop| shop.managed_fields_mut().clear())
        .filter_map(async |event| event.map(|event| unwrap_readable(event, &queue)).transpose());
    let events = reflector(writer, stripped);
    let mut known = HashMap::new();
    let mut before = Vec::new();
    let mut capabilities = context.capabilities.clone();
    pin_mut!(events);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            Ok(()) = capabilities.changed() => {
                // What was missing may be there now.
                known.keys().cloned().for_each(|shop| drop(wake.send(shop)));
                continue;
            }
        };
        match event {
            Some(Ok(Event::Apply(shop) | Event::InitApply(shop))) => {
                let name = ObjectRef::from_obj(&shop);
                let print = intent(&shop);
                if known.insert(name.clone(), print) != Some(print) {
                    let _ = wake.send(name);
                }
            }
            Some(Ok(Event::Delete(shop))) => {
                known.remove(&ObjectRef::from_obj(&shop));
                forget(&shop, &context, &shops, &wake);
            }
            // A watch that begins again reports no deletions of the time between. The store is exchanged when the list is complete.
            Some(Ok(Event::Init)) => before = shops.state(),
            Some(Ok(Event::InitDone)) => {
                for shop in before.drain(..).filter(|shop| !is_there(shop, &shops)) {
                    let name = ObjectRef::from_obj(&*shop);
                    if shops.get(&name).is_none() {
                        known.remove(&name);
                    }
                    forget(&shop, &context, &shops, &wake);
                }
            }
            Some(Err(error)) => warn!(%error, "the watch on Shops failed, it begins again"),
            None => return,
        }
    }
}

/// Whether it is this Shop, and not another of its name.
fn is_there(shop: &Shop, shops: &Store<Shop>) -> bool {
    let now = shops.get(&ObjectRef::from_obj(shop));
    now.is_some_and(|now| now.metadata.uid == shop.metadata.uid)
}

/// Forgets what is remembered of a Shop that is gone.
fn forget(shop: &Shop, context: &Context, shops: &Store<Shop>, wake: &Wake) {
    context.forget(&ObjectRef::from_obj(shop));
    context.metrics.tell_backups(shop, None);
    // Those that were refused because of it may have what they ask for.
    for other in shops.state().iter().filter(|other| competes(other, shop)) {
        let _ = wake.send(ObjectRef::from_obj(&**other));
    }
}

/// What somebody wants of a Shop, as opposed to what we say of it.
fn intent(shop: &Shop) -> u64 {
    let mut hasher = DefaultHasher::new();
    let metadata = &shop.metadata;
    (&metadata.uid, metadata.generation, metadata.deletion_timestamp.is_some()).hash(&mut hasher);
    (&metadata.annotations, &metadata.finalizers).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use clap::Parser as _;
    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use kube::runtime::reflector::store;
    use operator_core::crd::BackupStatus;
    use operator_core::validate::{Backups, Capabilities};
    use serde_json::{Value, json};
    use tokio::sync::{mpsc, watch};
    use tokio::time::timeout;
    use tower::service_fn;

    use super::*;
    use crate::app;
    use crate::metrics::Metrics;
    use crate::settings::Cli;

    fn shop(name: &str) -> Value {
        json!({
            "apiVersion": "shop-operator.io/v1alpha1", "kind": "Shop",
            "metadata": {
                "name": name, "namespace": "n", "uid": name, "generation": 1, "resourceVersion": "1",
            },
            "spec": {
                "events": { "external": { "bootstrapServers": ["kafka:9092"] } },
                "topics": { "prefix": "same" },
            },
        })
    }

    /// A client whose server lists both Shops first, then only the second. The first watch is refused, and the
    /// second list waits for a permit.
    fn client(permits: watch::Receiver<bool>) -> Client {
        let lists = Arc::new(AtomicUsize::new(0));
        let answer = move |request: Request<Body>| {
            let (lists, mut permits) = (lists.clone(), permits.clone());
            async move {
                let query = request.uri().query().unwrap_or_default().to_owned();
                let list = |items: &[Value]| {
                    json!({
                        "apiVersion": "shop-operator.io/v1alpha1", "kind": "ShopList",
                        "metadata": { "resourceVersion": "1" }, "items": items,
                    })
                };
                let answer = if !query.contains("watch=") {
                    if lists.fetch_add(1, Ordering::SeqCst) == 0 {
                        list(&[shop("gone"), shop("stays")])
                    } else {
                        permits.wait_for(|permit| *permit).await.unwrap();
                        list(&[shop("stays")])
                    }
                } else if lists.load(Ordering::SeqCst) == 1 {
                    let status = json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": "too old", "reason": "Expired", "code": 410,
                    });
                    json!({ "type": "ERROR", "object": status })
                } else {
                    std::future::pending().await
                };
                let line = format!("{answer}\n");
                Ok::<_, Infallible>(Response::new(Body::from(line.into_bytes())))
            }
        };
        Client::new(service_fn(answer), "default")
    }

    #[tokio::test]
    async fn shops_deleted_while_the_watch_restarts_are_forgotten() {
        const LONG: Duration = Duration::from_mins(1);
        let (permit, permits) = watch::channel(false);
        let client = client(permits);
        let (_, capabilities) = watch::channel(Capabilities::default());
        let (shops, writer) = store();
        let metrics = Metrics::new().unwrap();
        let config = app::configuration(&Cli::parse_from(["shop-operator"]).settings);
        let pod = "operator".to_owned();
        let context =
            Arc::new(Context::new(client.clone(), config, capabilities, metrics.clone(), pod));
        let ((wake, mut woken), (queue, _unreadable)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let api = Api::all(client);
        let stores = (shops.clone(), writer);
        tokio::spawn(follow_shops(api, stores, context.clone(), (wake, queue)));
        timeout(LONG, shops.wait_until_ready()).await.unwrap().unwrap();
        let next = async |woken: &mut mpsc::UnboundedReceiver<ObjectRef<Shop>>| {
            timeout(LONG, woken.recv()).await.unwrap().unwrap().name
        };
        assert_eq!(next(&mut woken).await, "gone");
        assert_eq!(next(&mut woken).await, "stays");

        let wanted = Backups {
            schedule: String::new(),
            longest_gap: LONG,
            suspended: false,
            keep: 1,
            requested: None,
        };
        for shop in shops.state() {
            context.backoff.next(&ObjectRef::from_obj(&*shop));
            metrics.tell_backups(&shop, Some(&(wanted.clone(), BackupStatus::default())));
        }
        let told = |name: &str| {
            let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
            text.contains(&format!("shop=\"{name}\""))
        };
        assert!(told("gone") && told("stays"));
        assert_eq!(metrics.retry_queue.get(), 2);

        permit.send_replace(true);
        // The one that stays is woken as a competitor of the one that is gone.
        assert_eq!(next(&mut woken).await, "stays");
        assert!(!told("gone") && told("stays"));
        assert_eq!(metrics.retry_queue.get(), 1);
    }
}
