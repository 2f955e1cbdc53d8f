//! What developers look at.

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::shopper::SAGA_PATIENCE;

use crate::api::run;
use crate::world::{NAMESPACE, SHOP, World};

/// Some of those who listen to orders.
const LISTENERS: [&str; 4] = ["cart", "inventory", "notification", "payment"];

/// An order is in its topic for everybody to read, and before long nobody is behind.
pub(crate) async fn topics(world: World) -> Result<()> {
    let shopper = world.shopper().await?;
    let product = shopper.find_product(1).await?;
    let product = product["id"].as_str().context("no id")?;
    let order = shopper.order(product, 1, "tok_visa").await?;
    shopper.wait_for(&order, "paid").await?;
    let look = async |what: &[&str]| {
        let arguments = [&[SHOP][..], what].concat();
        run("topics", &arguments, &[("NAMESPACE", NAMESPACE)]).await
    };
    eventually("nobody is behind", SAGA_PATIENCE, async || {
        let list = look(&[]).await?;
        let orders: Vec<&str> = list.lines().filter(|line| line.contains(".order.v1 ")).collect();
        let behind: Vec<(&str, &str)> = orders
            .iter()
            .flat_map(|line| line.split([' ', ',']))
            .filter_map(|consumer| consumer.split_once('='))
            .collect();
        ensure!(LISTENERS.iter().all(|name| behind.contains(&(*name, "0"))), "{list}");
        // A consumer that has never had anything of a partition is not behind there.
        ensure!(behind.iter().all(|(_, events)| matches!(*events, "0" | "-")), "{list}");
        Ok(())
    })
    .await?;
    let newest = look(&["order", "100"]).await?;
    let told = newest.contains("ce_type: io.shop-operator.order.paid.v1");
    ensure!(told && newest.contains(&format!("\"order_id\": \"{order}\"")), "{newest}");
    let letters = look(&["order.dlq", "100"]).await?;
    ensure!(!letters.contains(&order), "a purchase has left dead letters: {letters}");
    Ok(())
}
