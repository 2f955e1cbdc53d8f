//! Volumes of bundled engines that should be larger. The tests say of claims that they are bound:
//! nobody makes volumes here.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use operator_core::crd::Shop;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::{NAME, PATIENCE, World, condition};

const CLAIM: &str = "demo-postgres-data";

/// A storage class of the test's own, and its name.
async fn class(world: &World, allow_volume_expansion: bool) -> String {
    let name = world.namespace.clone();
    let class = StorageClass {
        metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
        provisioner: "example.com/none".to_owned(),
        allow_volume_expansion: Some(allow_volume_expansion),
        ..StorageClass::default()
    };
    let classes: Api<StorageClass> = Api::all(world.client.clone());
    classes.create(&PostParams::default(), &class).await.unwrap();
    name
}

fn volume(class: &str, size: &str) -> Value {
    let storage = json!({ "storageClassName": class, "size": size });
    json!({ "database": { "external": null, "bundled": { "storage": storage } } })
}

async fn ask_for(world: &World, size: &str) {
    let storage = json!({ "storage": { "size": size } });
    world.change(json!({ "spec": { "database": { "bundled": storage } } })).await;
}

async fn bind(world: &World) {
    let status = json!({ "status": {
        "phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "1Gi" },
    } });
    let claims = world.api::<PersistentVolumeClaim>();
    claims.patch_status(CLAIM, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

fn request(claim: Option<&PersistentVolumeClaim>) -> Option<&str> {
    let resources = claim?.spec.as_ref()?.resources.as_ref()?;
    resources.requests.as_ref()?.get("storage").map(|size| size.0.as_str())
}

async fn until_requested(world: &World, size: &str) {
    let there = |claim: Option<&PersistentVolumeClaim>| request(claim) == Some(size);
    let grown = timeout(PATIENCE, await_condition(world.api(), CLAIM, there)).await;
    grown.expect("the claim asks for it in time").unwrap();
}

fn degraded(shop: &Shop) -> &str {
    let conditions = &shop.status.as_ref().unwrap().conditions;
    &conditions.iter().find(|condition| condition.type_ == "Degraded").unwrap().message
}

#[tokio::test]
async fn a_volume_grows_as_soon_as_it_is_bound() {
    let world = World::new().await;
    world.create(volume(&class(&world, true).await, "1Gi")).await;
    let operator = world.operator().await;
    until_requested(&world, "1Gi").await;
    world.until("waiting", |shop| condition(shop, "DatabaseReady") == ("False", "Starting")).await;
    operator.settle(&world).await;
    let server = world.api::<StatefulSet>().get("demo-postgres").await.unwrap();

    ask_for(&world, "2Gi").await;
    world.until("told", |shop| condition(shop, "Degraded") == ("True", "VolumeNotBound")).await;
    bind(&world).await;
    until_requested(&world, "2Gi").await;
    world.until("settled", |shop| condition(shop, "Degraded").0 == "False").await;
    operator.settle(&world).await;
    let after = world.api::<StatefulSet>().get("demo-postgres").await.unwrap();
    assert_eq!(after.metadata.uid, server.metadata.uid);
    assert_eq!(after.metadata.generation, server.metadata.generation, "nothing restarts for it");
}

#[tokio::test]
async fn a_class_that_lets_no_volume_grow_is_named_and_stops_nothing_else() {
    let world = World::new().await;
    let class = class(&world, false).await;
    world.create(volume(&class, "1Gi")).await;
    let operator = world.operator().await;
    until_requested(&world, "1Gi").await;
    bind(&world).await;
    let limits = json!({ "limits": { "memory": "640Mi" } });
    let storage = json!({ "size": "2Gi" });
    let change = json!({ "bundled": { "storage": storage, "resources": limits } });
    world.change(json!({ "spec": { "database": change } })).await;
    let refused = |shop: &Shop| condition(shop, "Degraded") == ("True", "VolumeCannotGrow");
    let shop = world.until("refused", refused).await;
    let told = degraded(&shop);
    for word in [CLAIM, "2Gi", class.as_str(), "allowVolumeExpansion"] {
        assert!(told.contains(word), "{told}");
    }
    let server = world.api::<StatefulSet>().get("demo-postgres").await.unwrap();
    let pod = server.spec.unwrap().template.spec.unwrap();
    let limits = pod.containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert_eq!(limits["memory"].0, "640Mi");

    let classes: Api<StorageClass> = Api::all(world.client.clone());
    let allow = Patch::Merge(json!({ "allowVolumeExpansion": true }));
    classes.patch(&class, &PatchParams::default(), &allow).await.unwrap();
    let claims = world.api::<PersistentVolumeClaim>();
    // The API server itself hears of the class a moment later.
    while request(Some(&claims.get(CLAIM).await.unwrap())) != Some("2Gi") {
        operator.reconcile(&world.shop().await).await;
    }
    world.until("settled", |shop| condition(shop, "Degraded").0 == "False").await;
}

#[tokio::test]
async fn a_volume_that_was_left_is_not_made_smaller() {
    let world = World::new().await;
    let class = class(&world, true).await;
    let first = world.create(volume(&class, "2Gi")).await;
    let operator = world.operator().await;
    until_requested(&world, "2Gi").await;
    bind(&world).await;
    // What is under way when a Shop goes may still make a child, which nobody here would collect.
    world.until("waiting", |shop| condition(shop, "EventsReady").0 == "True").await;
    operator.settle(&world).await;
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    world.collect_garbage(first.metadata.uid.as_deref().unwrap()).await;

    world.create(volume(&class, "1Gi")).await;
    let refused = |shop: &Shop| condition(shop, "Degraded") == ("True", "VolumeCannotShrink");
    let shop = world.until("refused", refused).await;
    assert!(degraded(&shop).contains("it has 2Gi and cannot shrink"), "{}", degraded(&shop));
    ask_for(&world, "2Gi").await;
    world.until("adopted", |shop| condition(shop, "Degraded").0 == "False").await;
}
