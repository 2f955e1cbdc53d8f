//! Shops that do not match the types of this version of the operator, for example because a newer one introduced an enum value.
//! Their status reports it; all other Shops are reconciled as usual.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::core::{ApiResource, DeserializeGuard, DynamicObject};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use operator_core::crd::Shop;
use operator_core::status;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

use crate::execute::apply_status;

/// Backoff after a status could not be written.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Queue of Shops that cannot be parsed.
pub(super) type Unreadable = mpsc::UnboundedSender<ObjectRef<Shop>>;

/// Unwraps Shops that can be parsed. The others are queued, and leave the store as if they were deleted.
pub(super) fn unwrap_readable(
    event: Event<DeserializeGuard<Shop>>,
    queue: &Unreadable,
) -> Option<Event<Shop>> {
    let placeholder = |metadata| {
        let spec = serde_json::from_value(json!({})).expect("every field has a default");
        Shop { metadata, spec, status: None }
    };
    let enqueue = |metadata| {
        let shop = placeholder(metadata);
        // Fails only when the process ends.
        let _ = queue.send(ObjectRef::from_obj(&shop));
        shop
    };
    match event {
        Event::Apply(DeserializeGuard(shop)) => Some(match shop {
            Ok(shop) => Event::Apply(shop),
            Err(unreadable) => Event::Delete(enqueue(unreadable.metadata)),
        }),
        Event::InitApply(DeserializeGuard(shop)) => match shop {
            Ok(shop) => Some(Event::InitApply(shop)),
            Err(unreadable) => {
                enqueue(unreadable.metadata);
                None
            }
        },
        Event::Delete(DeserializeGuard(shop)) => {
            Some(Event::Delete(shop.unwrap_or_else(|unreadable| placeholder(unreadable.metadata))))
        }
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
    }
}

/// Sets `Degraded` on each queued Shop.
pub(super) async fn report_unreadable(
    client: Client,
    mut queue: mpsc::UnboundedReceiver<ObjectRef<Shop>>,
) {
    let mut due = BTreeSet::new();
    loop {
        tokio::select! {
            shop = queue.recv() => match shop {
                Some(shop) => drop(due.insert((shop.namespace, shop.name))),
                None => return,
            },
            () = sleep(RETRY_INTERVAL), if !due.is_empty() => {}
        }
        for shop in std::mem::take(&mut due) {
            if let Err(error) = report(&client, &shop).await {
                let (namespace, name) = &shop;
                warn!(%error, namespace, shop = name, "the status of an unreadable Shop could not be written");
                due.insert(shop);
            }
        }
    }
}

async fn report(client: &Client, (namespace, name): &(Option<String>, String)) -> kube::Result<()> {
    let kind = ApiResource::erase::<Shop>(&());
    let namespace = namespace.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let Some(live) = api.get_opt(name).await? else { return Ok(()) };
    let value = serde_json::to_value(&live).map_err(kube::Error::SerdeError)?;
    let Err(error) = serde_path_to_error::deserialize::<_, Shop>(&value) else { return Ok(()) };
    let old = &value["status"];
    let new =
        status::unreadable(old, live.metadata.generation, &error.to_string(), Timestamp::now());
    if new == *old {
        return Ok(());
    }
    warn!(%error, namespace, shop = name, "a Shop cannot be parsed");
    apply_status(&api, &live.metadata, &new).await.map(drop)
}
