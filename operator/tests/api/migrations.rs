//! Migrations come before rollouts.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use operator_core::components::COMPONENTS;
use operator_core::crd::Shop;
use operator_core::names;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::kubelet::{self, BROKEN, HELD};
use crate::world::{PATIENCE, World, condition};

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
    assert_eq!(condition(&shop, "Ready").0, "True", "the old pods sell");
    assert_eq!(condition(&shop, "UpToDate"), ("False", "MigrationFailed"));
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

/// A longer deadline lets a migration finish that runs already; the Job is the same, and so is what it has done.
#[tokio::test]
async fn the_deadline_of_a_running_migration_can_be_raised() {
    let world = World::new().await;
    let held = format!("example.com/{HELD}:1");
    let service = json!({ "name": "order", "image": held });
    world.create(json!({ "services": [service] })).await;
    let operator = world.operator().await;
    let jobs: Api<Job> = world.api();
    let of_order = ListParams::default().labels(&format!("{}=order", names::SERVICE_LABEL));
    let job = async || {
        let items = jobs.list(&of_order).await.unwrap().items;
        assert!(items.len() < 2, "{items:?}");
        items.into_iter().next()
    };
    let until = async |seconds: i64| {
        let wait = async {
            loop {
                if let Some(job) = job().await
                    && job.spec.as_ref().unwrap().active_deadline_seconds == Some(seconds)
                {
                    return job;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no deadline of {seconds} s"))
    };
    let before = until(900).await;
    world.change(json!({ "spec": { "migrations": { "activeDeadlineSeconds": 7200 } } })).await;
    let after = until(7200).await;
    assert_eq!(after.uid(), before.uid());
    kubelet::write(&jobs, &after.name_any(), kubelet::complete()).await;
    world.until_ready().await;
    operator.settle(&world).await;
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
