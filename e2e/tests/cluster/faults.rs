//! What breaks, and heals.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::kubectl::Kubectl;
use e2e::{eventually, kill};
use serde_json::json;

use crate::rules;
use crate::world::{READY_PATIENCE, SERVICES, SHOP, World, condition};

/// `kill -9` of each service while an order is on its way: the order still ends as paid, once.
pub(crate) async fn kill_services(world: World) -> Result<()> {
    for service in SERVICES {
        let shopper = world.shopper().await?;
        let page = shopper.find_product(1).await?;
        let product = page["id"].as_str().context("a product has an id")?;
        let order = shopper.order(product, 1, "tok_visa").await?;
        kill(&world, service).await?;
        // The gateway is one of them: for a moment nobody may answer at all.
        let what = format!("the order is paid, once, although {service} was killed");
        eventually(&what, READY_PATIENCE, async || {
            let order_now = shopper.get(&format!("/orders/{order}")).await?.ok()?;
            ensure!(order_now["status"] == "paid", "it is {}", order_now["status"]);
            let payment = shopper.get(&format!("/payments/{order}")).await?.ok()?;
            ensure!(payment["status"] == "captured", "{payment}");
            Ok(())
        })
        .await?;
    }
    rules::all_hold(&world).await?;
    world.ready().await
}

/// SIGKILL for every process of a component. Its pods live on and start again in place; where the nodes
/// are out of reach, the pods go without grace instead.
async fn kill(world: &World, component: &str) -> Result<()> {
    for pod in world.kubectl.pods(&World::selector(component)).await? {
        if !kill::in_place(&world.kubectl, &pod, READY_PATIENCE).await? {
            let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
            world.kubectl.run(&["delete", "pod", name, "--grace-period=0", "--force"]).await?;
        }
    }
    Ok(())
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
    ensure!(kept["status"] == "paid", "{kept}");
    rules::all_hold(&world).await
}

/// Somebody deletes Secrets whose servers live on with the old passwords on their volumes.
pub(crate) async fn lose_secrets(world: World) -> Result<()> {
    let lost = ["postgres", "redis", "order-database"].map(|secret| format!("{SHOP}-{secret}"));
    let names: Vec<&str> = lost.iter().map(String::as_str).collect();
    let read = async |name: &str| world.kubectl.get(&["secret", name]).await;
    let mut before = Vec::new();
    for name in &names {
        before.push(read(name).await?["data"]["password"].clone());
    }
    world.kubectl.run(&[&["delete", "secret"], &names[..]].concat()).await?;
    eventually("every Secret is made anew, and the shop follows", READY_PATIENCE, async || {
        for (name, before) in names.iter().zip(&before) {
            let password = read(name).await?["data"]["password"].clone();
            ensure!(password.is_string() && password != *before, "{name} has the old password");
        }
        let shop = world.kubectl.get(&["shop", SHOP]).await?;
        for part in ["DatabaseReady", "CacheReady", "ServicesReady"] {
            let condition = condition(&shop, part);
            ensure!(condition["status"] == "True", "{condition}");
        }
        Ok(())
    })
    .await?;
    // Whoever writes needs its database, and whoever fills a cart needs Redis.
    let shopper = world.shopper().await?;
    let page = shopper.find_product(1).await?;
    let product = page["id"].as_str().context("a product has an id")?;
    let item = json!({"product_id": product, "quantity": 1});
    shopper.post("/cart/items", &item).await?.ok()?;
    world.sells().await?;
    rules::all_hold(&world).await
}

/// Both replicas are killed: the shop goes on selling, and a new leader takes over.
pub(crate) async fn kill_operator(world: World) -> Result<()> {
    let operator = Kubectl::new("shop-system");
    let selector = "app.kubernetes.io/name=shop-operator";
    operator.run(&["delete", "pod", "--selector", selector, "--grace-period=0", "--force"]).await?;
    world.sells().await?;
    let patience = Duration::from_mins(2);
    operator.wait("condition=Available", "deployment/shop-operator", patience).await?;
    rules::all_hold(&world).await?;
    world.ready().await
}
