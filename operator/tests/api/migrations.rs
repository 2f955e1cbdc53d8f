//! Migrations come before rollouts.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::ListParams;
use operator_core::components::COMPONENTS;
use operator_core::crd::Shop;
use serde_json::json;

use crate::kubelet::BROKEN;
use crate::world::{World, condition};

async fn image(world: &World, name: &str) -> String {
    let api: Api<Deployment> = world.api();
    let pod = api.get(name).await.unwrap().spec.unwrap().template.spec.unwrap();
    pod.containers[0].image.clone().unwrap()
}

#[tokio::test]
async fn a_failed_migration_keeps_the_old_pods_and_a_good_image_recovers() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    world.until_ready().await;
    let old = image(&world, "demo-order").await;

    let broken = format!("example.com/{BROKEN}:2");
    world.change(json!({ "spec": { "services": [{ "name": "order", "image": broken }] } })).await;
    let shop = world
        .until("failed", |shop| {
            condition(shop, "MigrationsApplied") == ("False", "MigrationFailed")
        })
        .await;
    assert_eq!(condition(&shop, "Degraded"), ("True", "MigrationFailed"));
    assert_eq!(condition(&shop, "Ready").0, "False");
    operator.reconcile(&shop).await;
    assert_eq!(image(&world, "demo-order").await, old);

    let good = "example.com/order:3";
    world.change(json!({ "spec": { "services": [{ "name": "order", "image": good }] } })).await;
    world.until_ready().await;
    assert_eq!(image(&world, "demo-order").await, good);
    operator.settle(&world).await;
    let jobs: Api<Job> = world.api();
    let left = jobs.list(&ListParams::default()).await.unwrap().items;
    assert!(left.is_empty(), "Jobs that are done stand in the status instead: {left:?}");
}

/// Whether every service that has demo data has written it.
pub(crate) fn is_seeded(shop: &Shop) -> bool {
    let services = shop.status.iter().flat_map(|status| &status.services);
    let seeded = services.filter(|service| service.seeded).count();
    seeded == COMPONENTS.iter().filter(|component| component.seeds).count()
}

#[tokio::test]
async fn demo_data_is_written_once() {
    let world = World::new().await;
    world.create(json!({ "demoData": true })).await;
    let operator = world.operator().await;
    world.until("seeded", is_seeded).await;
    operator.settle(&world).await;
    let jobs: Api<Job> = world.api();
    assert!(jobs.list(&ListParams::default()).await.unwrap().items.is_empty());
}
