//! New versions that take over in steps, and one that must not.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::shopper::Shopper;
use serde_json::{Value, json};

use crate::world::{READY_PATIENCE, SHOP, World, condition};

/// A kubelet passes a changed weight on within a minute and a half, and a rollout has a few of them.
const ROLLOUT_PATIENCE: Duration = Duration::from_mins(10);
/// Between two requests of somebody who browses.
const PAUSE: Duration = Duration::from_millis(20);

/// Says how the catalog is to be rolled out, and what it is to run; without an image what it runs.
async fn set(world: &World, image: Option<&str>, steps: &Value) -> Result<()> {
    let canary = json!({"steps": steps, "minRequests": 20});
    let rollout = json!({"strategy": "Canary", "canary": canary});
    let mut catalog = json!({"name": "catalog", "replicas": 2, "rollout": rollout});
    if let Some(image) = image {
        catalog["image"] = image.into();
    }
    let patch = json!({"spec": {"services": [catalog]}});
    world.kubectl.patch(&format!("shop/{SHOP}"), &patch).await
}

/// Nothing is asked of the catalog any more.
async fn restore(world: &World) -> Result<()> {
    let patch = json!({"spec": {"services": null}});
    world.kubectl.patch(&format!("shop/{SHOP}"), &patch).await?;
    world.ready().await?;
    world.sells().await
}

async fn image(world: &World) -> Result<String> {
    let found = world.kubectl.get(&["deployment", &format!("{SHOP}-catalog")]).await?;
    let image = &found["spec"]["template"]["spec"]["containers"][0]["image"];
    Ok(image.as_str().context("no image")?.to_owned())
}

/// The rollout of the catalog; null when there is none.
async fn rollout(world: &World) -> Result<Value> {
    let shop = world.kubectl.get(&["shop", SHOP]).await?;
    let seen = &shop["status"]["observedGeneration"];
    ensure!(*seen == shop["metadata"]["generation"], "the operator has not seen it");
    let rollouts = shop["status"]["rollouts"].as_array();
    let catalog = rollouts.and_then(|all| all.iter().find(|rollout| rollout["name"] == "catalog"));
    Ok(catalog.cloned().unwrap_or(Value::Null))
}

/// Waits until no pod of a new version is left beside the others.
async fn gone(world: &World) -> Result<()> {
    eventually("the pods beside are gone", READY_PATIENCE, async || {
        let pods = world.pods("catalog-canary").await?;
        ensure!(pods.is_empty(), "{pods:?}");
        Ok(())
    })
    .await
}

/// Looks at products until somebody else is done; returns how many answers were good, and how many were not.
async fn browse(shopper: &Shopper, until: impl Future<Output = Result<()>>) -> Result<(u32, u32)> {
    let mut answers = (0, 0);
    tokio::select! {
        broken = look(shopper, &mut answers) => broken?,
        done = until => done?,
    }
    Ok(answers)
}

/// Looks at products for ever.
async fn look(shopper: &Shopper, (good, bad): &mut (u32, u32)) -> Result<()> {
    loop {
        let answer = shopper.get_once("/products?limit=1").await?;
        *(if answer.status.is_success() { &mut *good } else { &mut *bad }) += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Requests that every gateway has sent to the new version of the catalog.
async fn sent_to_new(world: &World) -> Result<f64> {
    let mut sent = 0.0;
    for pod in world.pods("gateway").await? {
        let text = world.kubectl.metrics(&pod).await?;
        let name = "gateway_canary_requests_total{upstream=\"catalog\"} ";
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        sent += value.map_or(Ok(0.0), str::parse::<f64>)?;
    }
    Ok(sent)
}

/// A good version: shoppers do not notice how it takes over.
pub(crate) async fn canary_passes(world: World) -> Result<()> {
    let steps = json!([{"weight": 20, "pauseSeconds": 5}, {"weight": 50, "pauseSeconds": 5}]);
    let old = image(&world).await?;
    // The gateway is told of weights by a file that it does not have before.
    set(&world, None, &steps).await?;
    world.ready().await?;
    let shopper = world.shopper().await?;
    let new = format!("{old}-next");
    set(&world, Some(&new), &steps).await?;
    let mut weights = BTreeSet::new();
    let passed = async {
        let taken = async {
            loop {
                // Until the operator has seen the new spec there is no rollout either.
                if let Ok(rollout) = rollout(&world).await {
                    ensure!(rollout["state"] != "Failed", "it was taken back: {rollout}");
                    weights.extend(rollout["weight"].as_i64());
                    if rollout.is_null() && image(&world).await? == new {
                        return Ok(());
                    }
                }
                tokio::time::sleep(10 * PAUSE).await;
            }
        };
        tokio::time::timeout(ROLLOUT_PATIENCE, taken).await.context("it takes too long")?
    };
    let (good, bad) = browse(&shopper, passed).await?;
    ensure!(bad == 0, "{bad} of {} requests failed", good + bad);
    ensure!(weights.contains(&20) && weights.contains(&50), "its shares were {weights:?}");
    let sent = sent_to_new(&world).await?;
    ensure!(sent >= 40.0, "the new version was sent {sent} requests");
    gone(&world).await?;
    restore(&world).await
}

/// A version that is ready and fails: it is taken back by itself, and not tried again.
pub(crate) async fn canary_fails(world: World) -> Result<()> {
    let steps = json!([{"weight": 10, "pauseSeconds": 3600}]);
    let old = image(&world).await?;
    set(&world, None, &steps).await?;
    world.ready().await?;
    let shopper = world.shopper().await?;
    let broken = old.replace("/catalog:", "/failing-service:");
    ensure!(broken != old, "there is no failing version of {old}");
    set(&world, Some(&broken), &steps).await?;
    let taken_back = eventually("it is taken back", ROLLOUT_PATIENCE, async || {
        let rollout = rollout(&world).await?;
        ensure!(rollout["reason"] == "TooManyFailures" && rollout["weight"] == 0, "{rollout}");
        Ok(())
    });
    let (good, bad) = browse(&shopper, taken_back).await?;
    // Twenty failures are needed to judge it, and a few more come until the next look.
    ensure!(bad > 0, "the new version was never asked");
    ensure!(bad * 8 <= good, "{bad} of {} requests failed", good + bad);
    gone(&world).await?;
    // The gateway may not know yet, and nobody notices.
    for _ in 0..100 {
        let answer = shopper.get_once("/products?limit=1").await?;
        ensure!(answer.status.is_success(), "a shopper has noticed: {answer:?}");
    }
    world.sells().await?;
    let shop = world.kubectl.get(&["shop", SHOP]).await?;
    ensure!(condition(&shop, "Ready")["status"] == "True", "{}", condition(&shop, "Ready"));
    let degraded = condition(&shop, "Degraded");
    ensure!(degraded["reason"] == "RolloutFailed", "{degraded}");
    ensure!(image(&world).await? == old, "the old version serves");
    ensure!(world.pods("catalog-canary").await?.is_empty(), "it is tried again");
    restore(&world).await
}
