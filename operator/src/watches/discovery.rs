//! Which optional APIs the cluster has.

use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{interval, sleep};
use tracing::{info, warn};

use super::optional;
use crate::object::{CustomKind, HTTP_ROUTE, SERVICE_MONITOR};
use crate::validate::Capabilities;

/// How often optional APIs are looked for although no definition changed.
const DISCOVERY: Duration = Duration::from_mins(1);
/// A new definition is served a moment after it is established.
const SERVED: Duration = Duration::from_secs(1);

/// Finds out which optional APIs there are, now and whenever their definitions change.
pub async fn discover(client: Client, found: &watch::Sender<Capabilities>) {
    let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
    let events = watcher(definitions, watcher::Config::default()).default_backoff();
    pin_mut!(events);
    let mut tick = interval(DISCOVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            event = events.next() => match event {
                Some(Ok(Event::Apply(definition) | Event::Delete(definition)))
                    if is_optional(&definition.metadata) => sleep(SERVED).await,
                Some(Err(error)) => { warn!(%error, "cannot watch definitions"); continue }
                Some(Ok(_)) => continue,
                None => return,
            }
        }
        let now = capabilities(&client).await;
        found.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                info!(?now, "optional APIs changed");
                *before = now;
            }
            changed
        });
    }
}

fn is_optional(metadata: &ObjectMeta) -> bool {
    let name = metadata.name.as_deref().unwrap_or_default();
    let all = Capabilities { service_monitors: true, http_routes: true };
    optional(all).iter().any(|kind| name == format!("{}.{}", kind.plural, kind.group))
}

/// Which optional APIs the cluster has now.
pub async fn capabilities(client: &Client) -> Capabilities {
    let has = async |kind: CustomKind| {
        let version = format!("{}/{}", kind.0, kind.1);
        let list = client.list_api_group_resources(&version).await;
        list.is_ok_and(|list| list.resources.iter().any(|resource| resource.kind == kind.2))
    };
    Capabilities {
        service_monitors: has(SERVICE_MONITOR).await,
        http_routes: has(HTTP_ROUTE).await,
    }
}
