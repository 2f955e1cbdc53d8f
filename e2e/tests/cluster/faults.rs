//! What breaks, and heals.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::kubectl::Kubectl;

use crate::world::{READY_PATIENCE, SERVICES, World};

/// `kill -9` of each service while an order is on its way: the order still ends as paid, once.
pub(crate) async fn kill_services(world: World) -> Result<()> {
    for service in SERVICES {
        let shopper = world.shopper().await?;
        let page = shopper.find_product(1).await?;
        let product = page["id"].as_str().context("a product has an id")?;
        let order = shopper.order(product, 1, "tok_visa").await?;
        for pod in world.pods(service).await? {
            // No grace: the processes get SIGKILL at once.
            world.kubectl.run(&["delete", "pod", &pod, "--grace-period=0", "--force"]).await?;
        }
        // The gateway is one of them: for a moment nobody may answer at all.
        let what = format!("the order is paid, once, although {service} was killed");
        eventually(&what, READY_PATIENCE, async || {
            let order_now = shopper.get(&format!("/orders/{order}")).await?.ok()?;
            ensure!(order_now["state"] == "paid", "it is {}", order_now["state"]);
            let payment = shopper.get(&format!("/payments/{order}")).await?.ok()?;
            ensure!(payment["status"] == "captured", "{payment}");
            Ok(())
        })
        .await?;
    }
    world.ready().await
}

/// Postgres, Redis and Kafka each lose their pod: data survive, the shop sells again by itself.
pub(crate) async fn delete_engines(world: World) -> Result<()> {
    let shopper = world.shopper().await?;
    let page = shopper.find_product(1).await?;
    let product = page["id"].as_str().context("a product has an id")?;
    let order = shopper.order(product, 1, "tok_visa").await?;
    shopper.wait_for(&order, "paid").await?;
    for engine in ["postgres", "redis", "kafka"] {
        for pod in world.pods(engine).await? {
            world.kubectl.run(&["delete", "pod", &pod]).await?;
        }
        world.sells().await.with_context(|| format!("after {engine} has lost its pod"))?;
    }
    world.ready().await?;
    let kept = shopper.get(&format!("/orders/{order}")).await?.ok()?;
    ensure!(kept["state"] == "paid", "{kept}");
    Ok(())
}

/// Both replicas are killed: the shop goes on selling, and a new leader takes over.
pub(crate) async fn kill_operator(world: World) -> Result<()> {
    let operator = Kubectl::new("shop-system");
    let selector = "app.kubernetes.io/name=shop-operator";
    operator.run(&["delete", "pod", "--selector", selector, "--grace-period=0", "--force"]).await?;
    world.sells().await?;
    let patience = Duration::from_mins(2);
    operator.wait("condition=Available", "deployment/shop-operator", patience).await?;
    world.ready().await
}
