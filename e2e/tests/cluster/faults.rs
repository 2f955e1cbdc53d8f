//! What breaks, and heals.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::invariants::Databases;
use e2e::kubectl::Kubectl;
use e2e::{echo, eventually, kill, mail};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::rules;
use crate::world::{READY_PATIENCE, SERVICES, SHOP, World, condition};

/// `kill -9` of each service while an order is on its way: the order still ends as paid, once.
pub(crate) async fn kill_services(world: World) -> Result<()> {
    for service in SERVICES {
        buys_while(&world, "tok_visa", service, kill(&world, service)).await?;
    }
    rules::all_hold(&world).await?;
    world.ready().await
}

/// Two services are gone at once, pods and all, while an order is on its way.
pub(crate) async fn kill_pairs(world: World) -> Result<()> {
    let pairs = [
        ["order", "payment"],
        ["inventory", "order"],
        ["payment", "inventory"],
        ["gateway", "order"],
        ["notification", "catalog"],
    ];
    for pair in pairs {
        let killed = try_join_all(pair.map(|service| remove(&world, service)));
        buys_while(&world, "tok_visa", &pair.join(" and "), killed).await?;
    }
    rules::all_hold(&world).await?;
    world.ready().await
}

/// The provider charges and never answers, and whoever wanted to ask again is killed: charged once.
pub(crate) async fn provider_times_out(world: World) -> Result<()> {
    buys_while(&world, "tok_timeout", "nothing", std::future::ready(Ok(()))).await?;
    buys_while(&world, "tok_timeout", "payment", remove(&world, "payment")).await?;
    rules::all_hold(&world).await
}

/// Every event of the shop comes again, in its order and then in none: nobody does anything twice.
pub(crate) async fn events_come_again(world: World) -> Result<()> {
    let (shopper, poor) = (world.shopper().await?, world.shopper().await?);
    let page = shopper.find_product(2).await?;
    let product = page["id"].as_str().context("a product has an id")?;
    let order = shopper.order(product, 1, "tok_visa").await?;
    shopper.wait_for(&order, "paid").await?;
    let declined = poor.order(product, 1, "tok_declined").await?;
    poor.wait_for(&declined, "cancelled").await?;
    rules::all_hold(&world).await?;
    let sink = world.mail().await?;
    let picture = async || {
        let mails = mail::mails_to(&sink.url, &shopper.email).await?.len()
            + mail::mails_to(&sink.url, &poor.email).await?.len();
        let bought = shopper.get(&format!("/orders/{order}")).await?.ok()?;
        let payment = shopper.get(&format!("/payments/{order}")).await?.ok()?;
        let declined = poor.get(&format!("/orders/{declined}")).await?.ok()?;
        anyhow::Ok(json!([mails, bought, payment, declined]))
    };
    // Letters that are under way arrive first.
    let told = eventually("both were told", READY_PATIENCE, async || {
        let told = picture().await?;
        ensure!(told[0].as_u64() >= Some(4), "{told}");
        Ok(told)
    })
    .await?;
    let databases = Databases::of(&world.kubectl, SHOP).await?;
    let before = consumed(&world).await?;
    let sent = echo::all(&databases).await?;
    let heard = before.iter().filter(|((_, event), _)| sent.contains_key(event)).count();
    ensure!(heard > SERVICES.len(), "the shop hears of little: {before:?}");
    eventually("every event was heard again", READY_PATIENCE, async || {
        let now = consumed(&world).await?;
        for ((pod, event), count) in &before {
            let again = sent.get(event).copied().unwrap_or_default();
            let seen = now.get(&(pod.clone(), event.clone())).copied().unwrap_or_default();
            ensure!(
                seen >= count + again,
                "{pod} has heard {seen} times of {event}, {count} before"
            );
        }
        Ok(())
    })
    .await?;
    for _ in 0..5 {
        echo::some(&databases).await?;
    }
    world.sells().await?;
    rules::nothing_put_aside(&world).await?;
    rules::all_hold(&world).await?;
    let now = picture().await?;
    ensure!(now == told, "{told} was, {now} is");
    Ok(())
}

/// How many events of each type each pod has done with.
async fn consumed(world: &World) -> Result<BTreeMap<(String, String), i64>> {
    let mut done = BTreeMap::new();
    for service in SERVICES {
        for pod in world.pods(service).await? {
            let metrics = world.kubectl.metrics(&pod).await?;
            for line in metrics.lines().filter(|line| line.contains("outcome=\"done\"")) {
                let event = line
                    .strip_prefix("events_consumed_total{")
                    .and_then(|labels| labels.split("type=\"").nth(1)?.split('"').next());
                let count = line.rsplit(' ').next().and_then(|count| count.parse().ok());
                if let Some((event, count)) = event.zip(count) {
                    done.insert((pod.clone(), event.to_owned()), count);
                }
            }
        }
    }
    Ok(done)
}

/// An order is placed, something breaks, and the order still ends as paid, once.
async fn buys_while(
    world: &World,
    token: &str,
    what: &str,
    breaks: impl Future<Output = Result<impl Sized>>,
) -> Result<()> {
    let shopper = world.shopper().await?;
    let page = shopper.find_product(1).await?;
    let product = page["id"].as_str().context("a product has an id")?;
    let order = shopper.order(product, 1, token).await?;
    breaks.await?;
    // The gateway may be a part of it: for a moment nobody may answer at all.
    let what = format!("the order with {token} is paid, once, although {what} was killed");
    eventually(&what, READY_PATIENCE, async || {
        let order_now = shopper.get(&format!("/orders/{order}")).await?.ok()?;
        ensure!(order_now["status"] == "paid", "it is {}", order_now["status"]);
        let payment = shopper.get(&format!("/payments/{order}")).await?.ok()?;
        ensure!(payment["status"] == "captured", "{payment}");
        Ok(())
    })
    .await
}

/// SIGKILL for every process of a component. Its pods live on and start again in place; where the nodes
/// are out of reach, the pods go without grace instead.
pub(crate) async fn kill(world: &World, component: &str) -> Result<()> {
    for pod in world.kubectl.pods(&World::selector(component)).await? {
        if !kill::in_place(&world.kubectl, &pod, READY_PATIENCE).await? {
            return remove(world, component).await;
        }
    }
    Ok(())
}

/// The pods of a component go without grace. Others take their place.
pub(crate) async fn remove(world: &World, component: &str) -> Result<()> {
    let selector = World::selector(component);
    let pods = ["delete", "pod", "--selector", &selector, "--grace-period=0", "--force"];
    world.kubectl.run(&pods).await.map(drop)
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
    // The conditions may be those of before: pods still go when the operator sees the Secrets.
    eventually("a cart can be filled", READY_PATIENCE, async || {
        shopper.post("/cart/items", &item).await?.ok()
    })
    .await?;
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
