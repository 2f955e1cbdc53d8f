//! Pods that do not work, as a Shop says it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use operator_core::crd::{ServiceName, Shop};
use operator_core::names;
use operator_core::role::{EngineKind, Role};
use serde_json::{Value, json};

use crate::world::{NAME, World, condition};

const ORDER: &str = "demo-order";
const POD: &str = "demo-order-7d9c-x2";

/// Says of the Deployment of `order` what its controller would: so many of its one pod are available.
async fn available(world: &World, pods: i32) {
    let status =
        json!({ "status": { "readyReplicas": pods, "availableReplicas": pods, "replicas": 1 } });
    let deployments: kube::Api<Deployment> = world.api();
    deployments.patch_status(ORDER, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

/// Says of the pod what its kubelet would.
async fn container(world: &World, status: Value) {
    let mut container = json!({ "name": "order", "image": "i", "imageID": "" });
    container.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    say(world, POD, json!({ "containerStatuses": [container] })).await;
}

async fn say(world: &World, pod: &str, status: Value) {
    let status = Patch::Merge(json!({ "status": status }));
    world.api::<Pod>().patch_status(pod, &PatchParams::default(), &status).await.unwrap();
}

async fn create(world: &World, pod: &str, role: Role) {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": pod, "labels": names::selector(NAME, role) },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{ "name": "order", "image": "i" }],
        },
    }))
    .unwrap();
    world.api::<Pod>().create(&PostParams::default(), &pod).await.unwrap();
}

fn message<'s>(shop: &'s Shop, type_: &str) -> &'s str {
    let mut conditions = shop.status.iter().flat_map(|status| &status.conditions);
    conditions.find(|condition| condition.type_ == type_).map_or("", |found| &found.message)
}

#[tokio::test]
async fn a_crash_loop_degrades_a_shop_and_is_named() {
    let world = World::new().await;
    world.create(json!({})).await;
    let _operator = world.operator().await;
    world.until_ready().await;

    create(&world, POD, ServiceName::Order.into()).await;
    let waits = json!({
        "ready": false, "restartCount": 2,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": { "reason": "Error", "exitCode": 78 } },
    });
    container(&world, waits).await;
    available(&world, 0).await;

    let shop =
        world.until("degraded", |shop| condition(shop, "Degraded").1 == "CrashLooping").await;
    assert_eq!(condition(&shop, "Degraded").0, "True");
    assert_eq!(condition(&shop, "ServicesReady"), ("False", "CrashLooping"));
    assert_eq!(condition(&shop, "Ready"), ("False", "CrashLooping"));
    for part in ["container order", POD, "Error, exit code 78", "kubectl logs --previous"] {
        assert!(message(&shop, "Degraded").contains(part), "{}", message(&shop, "Degraded"));
    }

    container(&world, json!({ "ready": true, "restartCount": 3, "state": { "running": {} } }))
        .await;
    available(&world, 1).await;
    let healthy = |shop: &Shop| {
        condition(shop, "Degraded").0 == "False" && condition(shop, "Ready").0 == "True"
    };
    world.until("healthy", healthy).await;
}

#[tokio::test]
async fn a_new_version_without_an_image_is_named_while_the_old_one_sells() {
    let world = World::new().await;
    world.create(json!({})).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    create(&world, POD, ServiceName::Order.into()).await;
    let pull = "Back-off pulling image: ErrImagePull: not found";
    let waiting = json!({ "waiting": { "reason": "ImagePullBackOff", "message": pull } });
    container(&world, json!({ "ready": false, "restartCount": 0, "state": waiting })).await;
    let status = json!({ "status": { "unavailableReplicas": 1 } });
    let deployments = world.api::<Deployment>();
    let patch = Patch::Merge(status);
    deployments.patch_status(ORDER, &PatchParams::default(), &patch).await.unwrap();

    let named = |shop: &Shop| condition(shop, "Degraded") == ("True", "ImageUnavailable");
    let shop = world.until("named", named).await;
    assert!(message(&shop, "Degraded").contains(pull), "{}", message(&shop, "Degraded"));
    assert_eq!(condition(&shop, "Ready").0, "True", "the old pods sell");
    world.api::<Pod>().delete(POD, &DeleteParams::default().grace_period(0)).await.unwrap();
    let patch = Patch::Merge(json!({ "status": { "unavailableReplicas": 0 } }));
    deployments.patch_status(ORDER, &PatchParams::default(), &patch).await.unwrap();
    world.until("healed", |shop| condition(shop, "Degraded").0 == "False").await;
}

#[tokio::test]
async fn an_engine_that_no_node_takes_says_so_in_the_words_of_the_scheduler() {
    let world = World::new().await;
    world.create_exactly(json!({})).await;
    let _operator = world.operator().await;
    world.until("waiting", |shop| condition(shop, "DatabaseReady") == ("False", "Starting")).await;
    let pod = "demo-postgres-0";
    create(&world, pod, Role::Engine(EngineKind::Postgres)).await;
    let words = "0/3 nodes are available: 3 Insufficient memory.";
    let condition_of_pod = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    say(&world, pod, json!({ "conditions": [condition_of_pod] })).await;
    let named = |shop: &Shop| condition(shop, "DatabaseReady") == ("False", "Unschedulable");
    let shop = world.until("named", named).await;
    assert_eq!(condition(&shop, "Degraded"), ("True", "Unschedulable"));
    for part in [pod, words] {
        assert!(message(&shop, "DatabaseReady").contains(part));
    }
    world.api::<Pod>().delete(pod, &DeleteParams::default().grace_period(0)).await.unwrap();
    let healed = |shop: &Shop| {
        condition(shop, "DatabaseReady") == ("False", "Starting")
            && condition(shop, "Degraded").0 == "False"
    };
    world.until("healed", healed).await;
}
