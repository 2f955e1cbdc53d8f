//! What programs read about the API is what the API does.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::shopper::Shopper;
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::rules;
use crate::world::World;

/// Most of what a program has said that is shown when it fails.
const SHOWN: usize = 8_000;

/// Whoever takes the collection for Postman can buy with it.
pub(crate) async fn collection(world: World) -> Result<()> {
    let at = world.gateway().await?;
    run("newman", &[&at.url], &[]).await.map(drop)
}

/// Requests that were made up from the document are answered as the document says, and never by a failure of ours; and
/// what must always hold still does.
pub(crate) async fn document(world: World) -> Result<()> {
    // Tokens are good for five minutes, so the tools are there before.
    run("schemathesis", &[], &[]).await?;
    let customer = world.shopper().await?;
    let page = customer.find_product(2).await?;
    let (product, sku) =
        (page["id"].as_str().context("no id")?, page["sku"].as_str().context("no SKU")?);
    let order = customer.order(product, 1, "tok_visa").await?;
    customer.wait_for(&order, "paid").await?;
    let at = world.gateway().await?;
    let things = [("SHOP_PRODUCT", product), ("SHOP_SKU", sku), ("SHOP_ORDER", &order)];
    let ask = async |mut caller: Shopper| {
        let mut leaver = world.shopper().await?;
        let tokens = [("TOKEN", caller.access_token()), ("LOGOUT_TOKEN", leaver.access_token())];
        run("schemathesis", &[&at.url], &[&things[..], &tokens].concat()).await?;
        ensure!(leaver.refresh().await.is_err(), "nobody was logged out everywhere");
        // A caller whose session the run has ended was refused much of what the rest of it asked.
        caller.refresh().await.context("the run has ended the session of its caller")
    };
    ask(customer).await.context("as a customer")?;
    ask(clerk(&world).await?).await.context("as an administrator")?;
    rules::all_hold(&world).await?;
    world.sells().await
}

/// An administrator whom nobody will miss: one that tries passwords.
async fn clerk(world: &World) -> Result<Shopper> {
    let (mut clerk, admin) = (world.shopper().await?, world.admin().await?);
    let account = clerk.get("/me").await?.ok()?;
    let id = account["id"].as_str().context("no id")?;
    let request = admin
        .request_to(Method::PUT, &format!("/api/v1/users/{id}/roles"))
        .header("If-Match", format!("\"{}\"", account["version"]))
        .json(&json!({"roles": ["customer", "admin"]}));
    let answer = request.send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    clerk.login().await?;
    Ok(clerk)
}

/// Runs one of the project's scripts and returns what it prints; fails with the end of what it complains about.
pub(crate) async fn run(
    script: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(script);
    let mut command = Command::new(path);
    command.args(arguments).envs(variables.iter().copied()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("scripts/{script}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let skipped = said.chars().count().saturating_sub(SHOWN);
    let said: String = said.chars().skip(skipped).collect();
    ensure!(output.status.success(), "scripts/{script}: {}\n{said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
