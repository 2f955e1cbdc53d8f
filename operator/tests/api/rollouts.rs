//! Rollouts in steps: what is applied when, what ends them, and that an operator that dies changes nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use operator_core::crd::{RolloutReason, RolloutState, RolloutStatus, Shop};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::world::{PATIENCE, World, condition, observed};

pub(crate) const OLD: &str = "example.com/catalog:1";
pub(crate) const NEW: &str = "example.com/catalog:2";
const STABLE: &str = "demo-catalog";
const CANARY: &str = "demo-catalog-canary";

/// A catalog of this image that is rolled out like this.
pub(crate) fn catalog(image: &str, rollout: &Value) -> Value {
    json!({ "services": [{ "name": "catalog", "image": image, "replicas": 2, "rollout": rollout }] })
}

/// Two steps, the first of which lasts until somebody does something.
fn slowly() -> Value {
    json!({ "strategy": "Canary", "canary": {
        "steps": [{ "weight": 20, "pauseSeconds": 86_400 }, { "weight": 40, "pauseSeconds": 1 }],
    } })
}

/// Two short steps.
pub(crate) fn quickly() -> Value {
    json!({ "strategy": "Canary", "canary": {
        "steps": [{ "weight": 20, "pauseSeconds": 1 }, { "weight": 40, "pauseSeconds": 1 }],
        "minRequests": 10,
    } })
}

fn rollout(shop: &Shop) -> Option<&RolloutStatus> {
    shop.status.as_ref()?.rollouts.iter().find(|rollout| rollout.name.as_str() == "catalog")
}

fn is(shop: &Shop, state: RolloutState, weight: i32) -> bool {
    rollout(shop).is_some_and(|rollout| (rollout.state, rollout.weight) == (state, weight))
}

/// Whether the new version has taken over, or was taken back.
pub(crate) fn is_over(shop: &Shop, failing: bool) -> bool {
    let reason = condition(shop, "RolloutsSettled").1;
    reason == if failing { "RolloutFailed" } else { "RolloutsSettled" }
}

async fn image(world: &World, name: &str) -> Option<String> {
    let deployment = world.api::<Deployment>().get_opt(name).await.unwrap()?;
    deployment.spec.unwrap().template.spec.unwrap().containers[0].image.clone()
}

/// What the gateway is told of the catalog.
async fn weight(world: &World) -> Option<u64> {
    let map = world.api::<ConfigMap>().get("demo-weights").await.unwrap();
    let weights: Value = serde_json::from_str(&map.data.unwrap()["weights.json"]).unwrap();
    weights["catalog"]["percent"].as_u64()
}

async fn annotate(world: &World, annotation: &str) {
    let annotation = format!("shop-operator.io/{annotation}");
    world.change(json!({ "metadata": { "annotations": { annotation: "catalog" } } })).await;
}

pub(crate) async fn change(world: &World, image: &str, rollout: &Value) {
    world.change(json!({ "spec": catalog(image, rollout) })).await;
}

async fn until_taken_over(world: &World) {
    let over = |shop: &Shop| {
        observed(shop) == shop.metadata.generation
            && rollout(shop).is_none()
            && condition(shop, "RolloutsSettled") == ("True", "RolloutsSettled")
    };
    world.until("taken over", over).await;
    assert_eq!(image(world, STABLE).await.as_deref(), Some(NEW));
    until_no_canary(world).await;
    assert_eq!(weight(world).await, None);
}

async fn until_no_canary(world: &World) {
    let gone = await_condition(world.api(), CANARY, |d: Option<&Deployment>| d.is_none());
    timeout(PATIENCE, gone).await.expect("the new pods beside go in time").unwrap();
}

/// A shop with the old catalog, which is to be rolled out like this.
async fn settled(rollout: &Value) -> World {
    let world = World::new().await;
    world.create(catalog(OLD, rollout)).await;
    world
}

#[tokio::test]
async fn a_canary_stands_beside_until_it_is_promoted() {
    let world = settled(&slowly()).await;
    let operator = world.operator().await;
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "RolloutsSettled").0, "True");
    assert_eq!(image(&world, CANARY).await, None);

    change(&world, NEW, &slowly()).await;
    world.until("a fifth", |shop| is(shop, RolloutState::Progressing, 20)).await;
    assert_eq!(image(&world, STABLE).await.as_deref(), Some(OLD));
    assert_eq!(image(&world, CANARY).await.as_deref(), Some(NEW));
    assert_eq!(weight(&world).await, Some(20));
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "RolloutsSettled"), ("False", "RolloutProgressing"));
    assert_eq!(condition(&shop, "Degraded").0, "False");

    // Somebody's hands on the old version are no new version.
    let patch = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "catalog", "image": "elsewhere/catalog:evil" },
    ] } } } });
    let manual =
        PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    let deployments = world.api::<Deployment>();
    deployments.patch(STABLE, &manual, &Patch::Strategic(patch)).await.unwrap();
    let repaired = await_condition(deployments, STABLE, |now: Option<&Deployment>| {
        let pod = now.and_then(|now| now.spec.as_ref()?.template.spec.as_ref());
        pod.is_some_and(|pod| pod.containers[0].image.as_deref() == Some(OLD))
    });
    timeout(PATIENCE, repaired).await.expect("drift is repaired in time").unwrap();
    operator.settle(&world).await;
    assert!(is(&world.shop().await, RolloutState::Progressing, 20));

    annotate(&world, "promote").await;
    until_taken_over(&world).await;
    let taken = |shop: &Shop| {
        shop.metadata
            .annotations
            .as_ref()
            .is_none_or(|all| !all.contains_key("shop-operator.io/promote"))
    };
    world.until("the annotation is taken away", taken).await;
    world.until_ready().await;
    operator.comes_to_rest(&world, async || world.operator().await).await;
}

#[tokio::test]
async fn what_was_aborted_stays_away_until_the_spec_changes() {
    let world = settled(&slowly()).await;
    let operator = world.operator().await;
    world.until_ready().await;
    change(&world, NEW, &slowly()).await;
    world.until("a fifth", |shop| is(shop, RolloutState::Progressing, 20)).await;
    annotate(&world, "abort").await;
    let shop = world.until("aborted", |shop| is(shop, RolloutState::Failed, 0)).await;
    assert_eq!(rollout(&shop).unwrap().reason, RolloutReason::Aborted);
    assert_eq!(condition(&shop, "Degraded"), ("True", "RolloutFailed"));
    assert_eq!(condition(&shop, "Ready").0, "True", "the old version sells");
    until_no_canary(&world).await;
    assert_eq!(image(&world, STABLE).await.as_deref(), Some(OLD));
    assert_eq!(weight(&world).await, None);
    // Neither time nor another process tries it again.
    operator.comes_to_rest(&world, async || world.operator().await).await;
    let again = world.operator().await;
    assert!(is(&world.shop().await, RolloutState::Failed, 0));

    change(&world, "example.com/catalog:3", &slowly()).await;
    world.until("a fifth", |shop| is(shop, RolloutState::Progressing, 20)).await;
    assert_eq!(image(&world, CANARY).await.as_deref(), Some("example.com/catalog:3"));
    // What runs is wanted again: there is nothing to roll out.
    change(&world, OLD, &slowly()).await;
    world.until("settled", |shop| rollout(shop).is_none()).await;
    until_no_canary(&world).await;
    assert_eq!(image(&world, STABLE).await.as_deref(), Some(OLD));
    again.stop().await;
}

#[tokio::test]
async fn an_operator_that_is_replaced_goes_on_where_the_other_was() {
    let world = settled(&slowly()).await;
    let first = world.operator().await;
    world.until_ready().await;
    change(&world, NEW, &slowly()).await;
    let before = world.until("a fifth", |shop| is(shop, RolloutState::Progressing, 20)).await;
    first.settle(&world).await;
    first.stop().await;

    let second = world.operator().await;
    for _ in 0..3 {
        assert_eq!(second.reconcile(&world.shop().await).await, 0, "there is nothing to write");
    }
    let after = world.shop().await;
    assert_eq!(rollout(&after), rollout(&before));
    assert_eq!(image(&world, STABLE).await.as_deref(), Some(OLD));
    // A state that is lost costs the way so far and no version.
    second.stop().await;
    let nothing = json!({ "status": { "rollouts": null } });
    let params = PatchParams::default();
    world.shops().patch_status("demo", &params, &Patch::Merge(nothing)).await.unwrap();
    let third = world.operator().await;
    world.until("a fifth again", |shop| is(shop, RolloutState::Progressing, 20)).await;
    assert_eq!(image(&world, STABLE).await.as_deref(), Some(OLD));
    annotate(&world, "promote").await;
    until_taken_over(&world).await;
    third.stop().await;
}

/// What ran before anybody asked for steps is the old version, although nothing was noted of it.
#[tokio::test]
async fn the_strategy_may_come_with_the_first_version_that_it_is_for() {
    let world = World::new().await;
    world.create(catalog(OLD, &json!({}))).await;
    let operator = world.operator().await;
    world.until_ready().await;
    change(&world, NEW, &slowly()).await;
    world.until("a fifth", |shop| is(shop, RolloutState::Progressing, 20)).await;
    assert_eq!(image(&world, STABLE).await.as_deref(), Some(OLD));
    // Without steps the new version takes over pod by pod.
    change(&world, NEW, &json!({})).await;
    world.until("no rollout", |shop| rollout(shop).is_none()).await;
    until_no_canary(&world).await;
    world.until_ready().await;
    assert_eq!(image(&world, STABLE).await.as_deref(), Some(NEW));
    operator.comes_to_rest(&world, async || world.operator().await).await;
}

#[tokio::test]
async fn without_figures_it_waits() {
    let world = settled(&quickly()).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    change(&world, NEW, &quickly()).await;
    let shop = world.until("paused", |shop| is(shop, RolloutState::Paused, 20)).await;
    assert_eq!(rollout(&shop).unwrap().reason, RolloutReason::NoData);
    assert_eq!(condition(&shop, "RolloutsSettled"), ("False", "RolloutPaused"));
    assert_eq!(image(&world, STABLE).await.as_deref(), Some(OLD));
}

#[tokio::test]
async fn what_its_pods_measure_decides() {
    for (failing, expected) in [(false, NEW), (true, OLD)] {
        let world = settled(&quickly()).await;
        let _operator = world.operator().await;
        world.until_ready().await;
        let _pod = MeasuredPod::start(&world, failing).await;
        change(&world, NEW, &quickly()).await;
        if failing {
            let shop = world.until("taken back", |shop| is(shop, RolloutState::Failed, 0)).await;
            assert_eq!(rollout(&shop).unwrap().reason, RolloutReason::TooManyFailures);
            until_no_canary(&world).await;
        } else {
            until_taken_over(&world).await;
        }
        assert_eq!(image(&world, STABLE).await.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn blue_and_green_are_both_complete_when_they_are_exchanged() {
    let switch = json!({ "strategy": "BlueGreen", "blueGreen": {
        "previewSeconds": 0, "autoPromote": false, "retainSeconds": 1,
    } });
    let world = settled(&switch).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    change(&world, NEW, &switch).await;
    let shop = world.until("waits", |shop| is(shop, RolloutState::Paused, 0)).await;
    assert_eq!(rollout(&shop).unwrap().reason, RolloutReason::WaitsForPromotion);
    assert_eq!(weight(&world).await, None);
    let replicas =
        async |name| world.api::<Deployment>().get(name).await.unwrap().spec.unwrap().replicas;
    assert_eq!((replicas(STABLE).await, replicas(CANARY).await), (Some(2), Some(2)));
    annotate(&world, "promote").await;
    world.until("switched", |shop| rollout(shop).is_none_or(|rollout| rollout.weight == 100)).await;
    until_taken_over(&world).await;
}

#[tokio::test]
async fn a_migration_comes_before_its_canary() {
    let world = settled(&slowly()).await;
    let operator = world.operator().await;
    world.until_ready().await;
    let broken = format!("example.com/{}:2", crate::kubelet::BROKEN);
    change(&world, &broken, &slowly()).await;
    let failed = |shop: &Shop| condition(shop, "MigrationsApplied") == ("False", "MigrationFailed");
    let shop = world.until("failed", failed).await;
    operator.reconcile(&shop).await;
    assert_eq!(rollout(&shop).unwrap().reason, RolloutReason::WaitsForMigration);
    assert_eq!(image(&world, CANARY).await, None);
    assert_eq!(image(&world, STABLE).await.as_deref(), Some(OLD));
    assert_eq!(condition(&shop, "Ready").0, "True", "the old version sells");
}

/// A pod of the new version, as far as the operator asks one: it has an address, and counts more requests each time.
pub(crate) struct MeasuredPod(tokio::task::JoinHandle<()>);

impl MeasuredPod {
    pub(crate) async fn start(world: &World, failing: bool) -> Self {
        // Every test has an address of its own, because the port is always the same.
        let [_, a, b, c] = rand::random::<u32>().to_be_bytes();
        let address = Ipv4Addr::new(127, a, b, c.max(2));
        let listener = TcpListener::bind((address, contracts::ports::ADMIN)).await.unwrap();
        let counted = Arc::new(AtomicI64::new(0));
        let serving = tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let _ = socket.read(&mut [0; 1024]).await;
                let count = counted.fetch_add(100, Ordering::SeqCst);
                let text = figures(count, if failing { "503" } else { "200" });
                let _ = socket.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{text}").as_bytes()).await;
            }
        });
        let pod = json!({
            "metadata": { "name": "measured", "labels": {
                "app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "demo",
                "app.kubernetes.io/component": "catalog-canary",
            } },
            "spec": { "containers": [{ "name": "catalog", "image": NEW }],
                      "automountServiceAccountToken": false, "serviceAccountName": "default" },
        });
        let pods = world.api::<Pod>();
        let account = json!({ "metadata": { "name": "default" } });
        let accounts = world.api::<k8s_openapi::api::core::v1::ServiceAccount>();
        let _ = accounts
            .create(&PostParams::default(), &serde_json::from_value(account).unwrap())
            .await;
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let status = json!({ "status": { "phase": "Running", "podIP": address.to_string(), "podIPs": [{ "ip": address.to_string() }] } });
        let params = PatchParams::default();
        pods.patch_status("measured", &params, &Patch::Merge(status)).await.unwrap();
        Self(serving)
    }
}

impl Drop for MeasuredPod {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn figures(count: i64, status: &str) -> String {
    let labels = format!(
        "http_request_method=\"GET\",http_response_status_code=\"{status}\",http_route=\"/\""
    );
    let name = contracts::metrics::HTTP_SERVER_DURATION;
    format!(
        "{name}_bucket{{{labels},le=\"1\"}} {count}\n\
         {name}_bucket{{{labels},le=\"+Inf\"}} {count}\n{name}_count{{{labels}}} {count}\n"
    )
}
