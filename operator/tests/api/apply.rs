//! What is applied, repaired, left alone and removed.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::timeout;

use crate::migrations::is_seeded;
use crate::world::{NAME, World, condition, merge};

const CATALOG: &str = "demo-catalog";

#[tokio::test]
async fn a_second_reconciliation_writes_nothing() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "DatabaseReady").0, "True");
    assert_eq!(condition(&shop, "MigrationsApplied").0, "True");
    assert_eq!(condition(&shop, "MonitoringReady"), ("False", "ApiMissing"));
    assert_eq!(condition(&shop, "Degraded").0, "False");
    operator.comes_to_rest(&world, async || world.operator().await).await;
}

/// Everything that a spec can ask for, in notations that the API server rewrites.
#[tokio::test]
async fn a_full_shop_comes_to_rest() {
    let world = World::new().await;
    let mut spec = full();
    // The test's engines instead of bundled ones.
    merge(
        &mut spec,
        json!({ "database": { "bundled": null }, "cache": { "bundled": null },
                "events": { "bundled": null }, "objectStore": { "bundled": null },
                "topics": { "prefix": null, "partitions": 2, "replicationFactor": 1 } }),
    );
    let odd = json!({ "requests": { "cpu": "0.5", "memory": "1024Mi" } });
    spec["services"].as_array_mut().unwrap().push(json!({ "name": "user", "resources": odd }));
    world.create(spec).await;
    let operator = world.operator().await;
    world.until_ready().await;
    // The Jobs that write demo data end at some time after that, and are pruned.
    world.until("seeded", is_seeded).await;
    operator.comes_to_rest(&world, async || world.operator().await).await;
}

#[tokio::test]
async fn bundled_engines_come_to_rest() {
    let world = World::new().await;
    world.create_exactly(full()).await;
    let operator = world.operator().await;
    world.until("waiting", |shop| condition(shop, "DatabaseReady") == ("False", "Starting")).await;
    operator.comes_to_rest(&world, async || world.operator().await).await;
}

/// The sample that names every field.
fn full() -> serde_json::Value {
    let sample = include_str!("../../../manifests/shop-full.yaml");
    let shop: serde_json::Value = serde_yaml_ng::from_str(sample).unwrap();
    shop["spec"].clone()
}

#[tokio::test]
async fn drift_is_repaired_and_foreign_fields_stay() {
    let world = World::new().await;
    world.create(json!({})).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    let api: Api<Deployment> = world.api();
    let before = api.get(CATALOG).await.unwrap();
    let image = |deployment: &Deployment| {
        let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        pod.and_then(|pod| pod.containers[0].image.clone())
    };
    let patch = json!({
        "metadata": { "annotations": { "example.com/theirs": "kept" } },
        "spec": { "template": { "spec": { "containers": [
            { "name": before.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].name,
              "image": "elsewhere/catalog:evil" },
        ] } } },
    });
    let manual =
        PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    api.patch(CATALOG, &manual, &Patch::Strategic(patch)).await.unwrap();
    let repaired =
        kube::runtime::wait::await_condition(api.clone(), CATALOG, |now: Option<&Deployment>| {
            now.is_some_and(|now| image(now) == image(&before))
        });
    let repaired = timeout(std::time::Duration::from_mins(1), repaired).await;
    let repaired = repaired.expect("drift is repaired in time").unwrap().unwrap();
    let annotations = repaired.metadata.annotations.unwrap();
    assert_eq!(annotations["example.com/theirs"], "kept");
}

#[tokio::test]
async fn a_service_that_is_removed_is_pruned_and_what_is_not_ours_is_not() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    world.until_ready().await;
    // Labelled like a child, owned by nobody.
    let mut stray: Service = world.api::<Service>().get("demo-review").await.unwrap();
    stray.metadata = kube::api::ObjectMeta {
        name: Some("stray".to_owned()),
        labels: stray.metadata.labels,
        ..Default::default()
    };
    stray.spec.as_mut().unwrap().cluster_ip = None;
    stray.spec.as_mut().unwrap().cluster_ips = None;
    world.api::<Service>().create(&kube::api::PostParams::default(), &stray).await.unwrap();

    let disabled = json!({ "spec": { "services": [{ "name": "review", "enabled": false }] } });
    world.change(disabled).await;
    world.until_ready().await;
    operator.settle(&world).await;
    assert!(world.api::<Deployment>().get_opt("demo-review").await.unwrap().is_none());
    assert!(world.api::<Service>().get_opt("demo-review").await.unwrap().is_none());
    assert!(world.api::<Service>().get_opt("stray").await.unwrap().is_some());
    assert!(world.api::<Deployment>().get_opt(CATALOG).await.unwrap().is_some());
}

#[tokio::test]
async fn a_pause_stops_writes_and_no_status() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    world.until_ready().await;
    let pause = json!({ "metadata": { "annotations": { "shop-operator.io/paused": "true" } } });
    world.change(pause).await;
    world.until("paused", |shop| condition(shop, "Paused").0 == "True").await;
    let before = world.children().await;
    world.change(json!({ "spec": { "version": "9.9.9" } })).await;
    let shop = world
        .until("observed", |shop| crate::world::observed(shop) == shop.metadata.generation)
        .await;
    assert_eq!(condition(&shop, "UpToDate").0, "False", "the new version runs nowhere");
    assert_eq!(condition(&shop, "Ready").0, "True", "the old one does");
    operator.reconcile(&shop).await;
    assert_eq!(world.children().await, before);
    let resume = json!({ "metadata": { "annotations": { "shop-operator.io/paused": null } } });
    world.change(resume).await;
    let shop = world.until_ready().await;
    assert_eq!(shop.status.unwrap().version.as_deref(), Some("9.9.9"));
    let api: Api<Deployment> = world.api();
    let deployment = api.get(&format!("{NAME}-order")).await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    assert!(pod.containers[0].image.as_deref().unwrap().ends_with(":9.9.9"));
}

#[tokio::test]
async fn a_missing_secret_is_said_and_its_creation_helps() {
    let world = World::new().await;
    world.create(json!({ "cache": { "external": { "secretRef": { "name": "later" } } } })).await;
    let _operator = world.operator().await;
    world
        .until("secret missing", |shop| condition(shop, "Ready") == ("False", "SecretMissing"))
        .await;
    world.secret("later", &[("url", &crate::server::variable("TEST_REDIS_URL"))]).await;
    world.until_ready().await;
}

/// Without a handover the API server would fill in one replica, however many there are.
#[tokio::test]
async fn autoscaling_takes_over_without_losing_a_replica() {
    let world = World::new().await;
    world.create(json!({ "services": [{ "name": "cart", "replicas": 3 }] })).await;
    let operator = world.operator().await;
    world.until_ready().await;
    let scaled = json!({ "name": "cart", "autoscaling": { "minReplicas": 2, "maxReplicas": 9 } });
    world.change(json!({ "spec": { "services": [scaled] } })).await;
    world.until_ready().await;
    operator.settle(&world).await;
    let cart = world.api::<Deployment>().get("demo-cart").await.unwrap();
    assert_eq!(cart.spec.as_ref().unwrap().replicas, Some(3));
    let ours = cart.metadata.managed_fields.unwrap().into_iter().filter(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0["f:spec"]["f:replicas"]);
        fields.is_some_and(|replicas| !replicas.is_null())
    });
    let ours: Vec<_> = ours.filter_map(|entry| entry.manager).collect();
    assert_eq!(ours, ["shop-operator-handover"]);

    world.change(json!({ "spec": { "services": [{ "name": "cart", "replicas": 4 }] } })).await;
    world.until_ready().await;
    let cart = world.api::<Deployment>().get("demo-cart").await.unwrap();
    assert_eq!(cart.spec.unwrap().replicas, Some(4));
}
