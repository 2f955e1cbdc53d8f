//! What Argo CD may delete.

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, ResourceExt as _};
use operator_core::names;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn argo_cd_prunes_nothing_that_has_no_owner() {
    let world = World::new().await;
    world.create(json!({ "objectStore": { "external": null, "bundled": {} } })).await;
    let operator = world.operator().await;
    world.until_ready().await;
    operator.settle(&world).await;
    let of_shop = ListParams::default().labels(&names::managed_selector());
    for (kind, expected) in [
        (ApiResource::erase::<Secret>(&()), 11),
        (ApiResource::erase::<PersistentVolumeClaim>(&()), 1),
        (ApiResource::erase::<ConfigMap>(&()), 1),
    ] {
        let api: Api<DynamicObject> =
            Api::namespaced_with(world.client.clone(), &world.namespace, &kind);
        let objects = api.list(&of_shop).await.unwrap().items;
        let unowned = objects.iter().filter(|object| object.owner_references().is_empty());
        assert_eq!(unowned.clone().count(), expected, "{}", kind.kind);
        for object in unowned {
            let annotation = |name| object.annotations().get(name).map(String::as_str);
            let name = format!("{} {}", kind.kind, object.name_any());
            assert_eq!(
                annotation("argocd.argoproj.io/sync-options"),
                Some("Prune=false"),
                "{name}"
            );
            let compare = annotation("argocd.argoproj.io/compare-options");
            assert_eq!(compare, Some("IgnoreExtraneous"), "{name}");
        }
    }
    operator.stop().await;
}
