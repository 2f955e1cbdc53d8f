//! Pods that crash, as a Shop says it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use operator_core::crd::ServiceName;
use operator_core::names;
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
    let status = json!({ "status": { "containerStatuses": [container] } });
    let pods: kube::Api<Pod> = world.api();
    pods.patch_status(POD, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

#[tokio::test]
async fn a_crash_loop_degrades_a_shop_and_is_named() {
    let world = World::new().await;
    world.create(json!({})).await;
    let _operator = world.operator().await;
    world.until_ready().await;

    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": POD, "labels": names::selector(NAME, ServiceName::Order) },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{ "name": "order", "image": "i" }],
        },
    }))
    .unwrap();
    world.api::<Pod>().create(&PostParams::default(), &pod).await.unwrap();
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
    let conditions = shop.status.unwrap().conditions;
    let degraded = conditions.iter().find(|condition| condition.type_ == "Degraded").unwrap();
    for part in ["container order", POD, "Error, exit code 78", "kubectl logs --previous"] {
        assert!(degraded.message.contains(part), "{}", degraded.message);
    }

    container(&world, json!({ "ready": true, "restartCount": 3, "state": { "running": {} } }))
        .await;
    available(&world, 1).await;
    let healthy = |shop: &operator_core::crd::Shop| {
        condition(shop, "Degraded").0 == "False" && condition(shop, "Ready").0 == "True"
    };
    world.until("healthy", healthy).await;
}
