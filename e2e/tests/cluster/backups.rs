//! A backup of the running shop, and another shop that begins with it.

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::shopper::Shopper;
use serde_json::{Value, json};

use crate::rules;
use crate::world::{NAMESPACE, READY_PATIENCE, SHOP, World, condition};

/// The shop that begins with the backup.
const SECOND: &str = "second";

/// What a customer has bought is there in a shop that begins with a backup, as is what the shop sells.
pub(crate) async fn are_restored(world: World) -> Result<()> {
    let customer = world.shopper().await?;
    let product = customer.find_product(1).await?;
    let id = product["id"].as_str().context("a product has an id")?;
    let order = customer.order(id, 1, "tok_visa").await?;
    customer.wait_for(&order, "paid").await?;
    let path = format!("/orders/{order}");
    let sold = customer.get(&path).await?.ok()?;

    let name = back_up_while_selling(&world, &customer, id).await?;
    let spec = json!({
        "deletionPolicy": "Delete",
        "gateway": {"rateLimitPerMinute": 1_000_000},
        "restoreFrom": {"backup": name, "shop": SHOP},
    });
    let manifest = json!({
        "apiVersion": "shop-operator.io/v1alpha1", "kind": "Shop",
        "metadata": {"name": SECOND, "namespace": NAMESPACE}, "spec": spec,
    });
    world.kubectl.apply(&manifest).await?;
    let restored = eventually("the second shop is ready", READY_PATIENCE, async || {
        let shop = world.kubectl.get(&["shop", SECOND]).await?;
        let (restored, ready) = (condition(&shop, "Restored"), condition(&shop, "Ready"));
        ensure!(ready["status"] == "True" && restored["status"] == "True", "{ready} {restored}");
        Ok(shop)
    })
    .await?;
    ensure!(restored["status"]["restored"]["backup"] == *name, "{}", restored["status"]);

    let gateway = world.kubectl.reach(&format!("{SECOND}-gateway"), 80).await?;
    let again = eventually("the customer can log in", READY_PATIENCE, async || {
        let [email, password, ..] = customer.secrets();
        Shopper::with_account(&gateway, email, password).await
    })
    .await?;
    let order = again.get(&path).await?.ok()?;
    for field in ["id", "status", "total", "lines"] {
        ensure!(
            !sold[field].is_null() && order[field] == sold[field],
            "{field}: {order} was {sold}"
        );
    }
    let found = again.get(&format!("/products/{id}")).await?.ok()?;
    for field in ["id", "sku", "name", "price"] {
        ensure!(found[field] == product[field], "{field}: {found} was {product}");
    }
    // Nothing was lost between the databases of the backup, nor between them and the topics.
    rules::hold_in(&world, SECOND).await.context("in the second shop")?;
    world.kubectl.run(&["delete", "shop", SECOND, "--wait", "--timeout=180s"]).await?;
    let selector = format!("app.kubernetes.io/instance={SECOND}");
    eventually("nothing is left of the second shop", READY_PATIENCE, async || {
        let kinds = "pods,jobs,persistentvolumeclaims,secrets";
        let left = world.kubectl.run(&["get", kinds, "-l", &selector, "-o", "name"]).await?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    })
    .await?;
    world.kubectl.patch(&format!("shop/{SHOP}"), &json!({"spec": {"backup": null}})).await?;
    world.ready().await
}

/// Makes a backup while a customer buys one unit after the other; returns its name.
async fn back_up_while_selling(world: &World, customer: &Shopper, product: &str) -> Result<String> {
    let mut backup = std::pin::pin!(back_up(world));
    loop {
        let bought = async {
            let order = customer.order(product, 1, "tok_visa").await?;
            customer.wait_for_end(&order).await
        };
        tokio::select! {
            name = &mut backup => return name,
            bought = bought => drop(bought?),
        };
    }
}

/// Asks for a backup and waits for it; returns its name.
async fn back_up(world: &World) -> Result<String> {
    let request = uuid::Uuid::new_v4().to_string();
    let patch = json!({
        "metadata": {"annotations": {"shop-operator.io/backup": request}},
        "spec": {"backup": {"keep": 2}},
    });
    world.kubectl.patch(&format!("shop/{SHOP}"), &patch).await?;
    eventually("the backup is made", READY_PATIENCE, async || {
        let shop = world.kubectl.get(&["shop", SHOP]).await?;
        let (status, backups) = (&shop["status"]["backup"], condition(&shop, "BackupsReady"));
        ensure!(
            status["requested"] == *request && backups["status"] == "True",
            "{status} {backups}"
        );
        let last: &Value = &status["lastSuccessful"];
        ensure!(last["bytes"].as_i64() > Some(0), "{last}");
        last["name"].as_str().map(str::to_owned).context("it has a name")
    })
    .await
}
