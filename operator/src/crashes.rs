//! Looks for containers of a shop that crash again and again.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client};
use operator_core::crashes::{Crash, crashes};
use operator_core::names;
use operator_core::validate::ValidatedShop;
use tracing::warn;

/// How often pods are looked at while some are not ready: a container that waits to be restarted causes no watch event.
pub const POLL: Duration = Duration::from_secs(10);

/// The crashing containers of a shop, one per component. It is a help, not a need.
pub async fn find(client: &Client, shop: &ValidatedShop) -> Vec<Crash> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &shop.namespace);
    let labels: Selector = names::shop_selector(&shop.name).into_iter().collect();
    // What the API server has in its cache is good enough.
    let of_shop = ListParams::default().labels_from(&labels).match_any();
    match pods.list(&of_shop).await {
        Ok(list) => crashes(&list.items),
        Err(error) => {
            warn!(%error, shop = shop.name, "cannot list pods");
            Vec::new()
        }
    }
}
