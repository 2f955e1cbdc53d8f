//! Shops that the operator cannot parse.

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::wait::await_condition;
use operator_core::crd::Shop;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::server::FUTURE;
use crate::world::{NAME, PATIENCE, World, condition};

const NEWER: &str = "newer";
const ADDRESS: &str = "demo-order";

fn any(world: &World) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<Shop>(&());
    Api::namespaced_with(world.client.clone(), &world.namespace, &kind)
}

/// Waits until `Degraded` of the unparsable Shop has this status.
async fn degraded(world: &World, status: &str) -> Value {
    let find = |shop: &DynamicObject| {
        let conditions = shop.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|one| one["type"] == "Degraded" && one["status"] == status)
    };
    let api = any(world);
    let holds = |shop: Option<&DynamicObject>| shop.is_some_and(|shop| find(shop).is_some());
    let shop = timeout(PATIENCE, await_condition(api, NEWER, holds)).await;
    find(&shop.expect("in time").unwrap().unwrap()).unwrap()
}

/// Deletes a Service of the other Shop and waits until it is back.
async fn repairs(world: &World) {
    let services: Api<Service> = world.api();
    let old = services.get(ADDRESS).await.unwrap().metadata.uid;
    services.delete(ADDRESS, &DeleteParams::default()).await.unwrap();
    let is_new = |service: Option<&Service>| service.is_some_and(|new| new.metadata.uid != old);
    timeout(PATIENCE, await_condition(services, ADDRESS, is_new)).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_unparsable_shop_is_degraded_and_others_are_reconciled() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    world.until_ready().await;
    let newer = json!({
        "apiVersion": "shop-operator.io/v1alpha1", "kind": "Shop",
        "metadata": { "name": NEWER }, "spec": { "deletionPolicy": FUTURE },
    });
    let newer: DynamicObject = serde_json::from_value(newer).unwrap();
    any(&world).create(&PostParams::default(), &newer).await.unwrap();

    let reported = degraded(&world, "True").await;
    assert_eq!(
        (&reported["reason"], &reported["observedGeneration"]),
        (&json!("InvalidSpec"), &json!(1))
    );
    let message = reported["message"].as_str().unwrap();
    for part in ["spec.deletionPolicy: unknown variant `Archive`", "upgrade the operator"] {
        assert!(message.contains(part), "{message}");
    }
    // The other Shop is still reconciled, also after a restart of the operator.
    world.change(json!({ "spec": { "observability": { "logLevel": "debug" } } })).await;
    world
        .until("as it was changed", |shop| {
            let generation = shop.status.as_ref().and_then(|status| status.observed_generation);
            generation == shop.metadata.generation && condition(shop, "Ready").0 == "True"
        })
        .await;
    repairs(&world).await;
    operator.stop().await;
    let operator = world.operator().await;
    repairs(&world).await;
    assert_eq!(degraded(&world, "True").await, reported, "it is written once");

    let better = Patch::Merge(json!({ "spec": { "deletionPolicy": "Delete" } }));
    any(&world).patch(NEWER, &PatchParams::default(), &better).await.unwrap();
    world
        .until_of(NEWER, "reconciled", |shop| {
            shop.status.as_ref().is_some_and(|status| !status.services.is_empty())
        })
        .await;
    // The same for a Shop that was readable before.
    let worse = Patch::Merge(json!({ "spec": { "deletionPolicy": FUTURE } }));
    any(&world).patch(NEWER, &PatchParams::default(), &worse).await.unwrap();
    let reported = degraded(&world, "True").await;
    assert_eq!(reported["reason"], "InvalidSpec");
    repairs(&world).await;
    assert_eq!(condition(&world.shop().await, "Ready").0, "True", "{NAME}");
    operator.stop().await;
}
