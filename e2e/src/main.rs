//! `shopper`: buys something, and says so. `make up` ends with it.

use anyhow::Result;
use clap::Parser;
use e2e::kubectl::Kubectl;
use e2e::shopper::Shopper;

/// Buys one unit of a product through a shop's gateway.
#[derive(Parser)]
struct Cli {
    /// Name of the shop.
    #[arg(long, default_value = "demo")]
    shop: String,
    /// Its namespace.
    #[arg(long, default_value = "default")]
    namespace: String,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let kubectl = Kubectl::new(&cli.namespace);
    let at = kubectl.reach(&format!("{}-gateway", cli.shop), 80).await?;
    let shopper = Shopper::register(&at).await?;
    let product = shopper.find_product(1).await?;
    let id = product["id"].as_str().unwrap_or_default();
    let order = shopper.order(id, 1, "tok_visa").await?;
    shopper.wait_for(&order, "paid").await?;
    println!("{} bought {} (order {order}, paid)", shopper.email, product["name"]);
    println!("{}", at.url);
    Ok(())
}
