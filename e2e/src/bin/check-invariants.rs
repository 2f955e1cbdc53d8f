//! `check-invariants`: reads the databases of a running shop and says whether its rules hold.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use e2e::invariants::{Databases, hold};
use e2e::kubectl::Kubectl;

/// Checks what must always hold in a shop, from its databases.
#[derive(Parser)]
struct Cli {
    /// Name of the shop.
    #[arg(long, default_value = "demo")]
    shop: String,
    /// Its namespace.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// For how many seconds a mismatch must stay to be a violation.
    #[arg(long, default_value_t = 60)]
    patience: u64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let databases = Databases::of(&Kubectl::new(&cli.namespace), &cli.shop).await?;
    let counts = hold(&databases, Duration::from_secs(cli.patience)).await?;
    println!(
        "all rules hold: {} SKUs, {} orders, {} payments, {} effects of events",
        counts.skus, counts.orders, counts.payments, counts.effects
    );
    Ok(())
}
