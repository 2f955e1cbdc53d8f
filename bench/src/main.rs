//! Measures a shop: orders through the whole saga, product reads, memory. Prints table rows in
//! Markdown. Bounded in time and count; all load goes to a port that `kubectl` forwards on 127.0.0.1.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use e2e::kubectl::Kubectl;
use e2e::shopper::Shopper;
use futures_util::future::try_join_all;

#[derive(Parser)]
struct Cli {
    #[arg(long, default_value = "demo")]
    shop: String,
    #[arg(long, default_value = "default")]
    namespace: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Orders a second through the whole saga, and how long one takes.
    Saga {
        #[arg(long, default_value_t = 20)]
        buyers: u32,
        #[arg(long, default_value_t = 400)]
        orders: u32,
    },
    /// Product reads a second through the gateway.
    Reads {
        #[arg(long, default_value_t = 20)]
        readers: u32,
        #[arg(long, default_value_t = 15)]
        seconds: u64,
    },
    /// Resident memory of each service, from its own metrics.
    Memory,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let kubectl = Kubectl::new(&cli.namespace);
    match cli.command {
        Command::Saga { buyers, orders } => saga(&kubectl, &cli.shop, buyers, orders).await,
        Command::Reads { readers, seconds } => {
            reads(&kubectl, &cli.shop, readers, Duration::from_secs(seconds)).await
        }
        Command::Memory => memory(&kubectl, &cli.shop).await,
    }
}

#[expect(clippy::print_stdout, reason = "rows are what this program is for")]
fn row(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}

/// The value below which this part of the sorted durations lies.
fn quantile(sorted: &[Duration], part: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a short list"
    )]
    let index = ((sorted.len() as f64 - 1.0) * part).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

async fn saga(kubectl: &Kubectl, shop: &str, buyers: u32, orders: u32) -> Result<()> {
    let forward = kubectl.forward(&format!("service/{shop}-gateway"), 80).await?;
    let url = &forward.url;
    let scout = Shopper::register(url).await?;
    let product = Arc::new(scout.find_product(i64::from(orders.min(100))).await?);
    let shoppers = try_join_all((0..buyers).map(|_| Shopper::register(url))).await?;
    let left = Arc::new(AtomicU32::new(orders));
    let begun = Instant::now();
    let buyers_at_work = shoppers.into_iter().map(|shopper| {
        let (left, product) = (Arc::clone(&left), Arc::clone(&product));
        tokio::spawn(async move {
            let id = product["id"].as_str().context("a product has an id")?;
            let mut took = Vec::new();
            let take = |n: u32| n.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                let begun = Instant::now();
                let order = shopper.order(id, 1, "tok_visa").await?;
                let end = shopper.wait_for_end(&order).await?;
                anyhow::ensure!(end["state"] == "paid", "{end}");
                took.push(begun.elapsed());
            }
            anyhow::Ok(took)
        })
    });
    let mut took = Vec::new();
    for result in try_join_all(buyers_at_work).await? {
        took.extend(result?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    took.sort_unstable();
    let rate = f64::from(u32::try_from(took.len())?) / seconds;
    row(
        &format!("orders paid a second, {buyers} buyers, {} orders", took.len()),
        &format!("{rate:.1}"),
    );
    for (name, part) in [("median", 0.5), ("p99", 0.99)] {
        let millis = quantile(&took, part).as_millis();
        row(&format!("order to paid, {name}"), &format!("{millis} ms"));
    }
    Ok(())
}

async fn reads(kubectl: &Kubectl, shop: &str, readers: u32, time: Duration) -> Result<()> {
    let forward = kubectl.forward(&format!("service/{shop}-gateway"), 80).await?;
    let url = &forward.url;
    let scout = Shopper::register(url).await?;
    let product = scout.find_product(1).await?;
    let id = product["id"].as_str().context("a product has an id")?.to_owned();
    let deadline = Instant::now() + time;
    let at_work = (0..readers).map(|_| {
        let (shopper, path) = (scout.clone(), format!("/products/{id}"));
        tokio::spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < deadline {
                let begun = Instant::now();
                shopper.get(&path).await?.ok()?;
                took.push(begun.elapsed());
            }
            anyhow::Ok(took)
        })
    });
    let mut took = Vec::new();
    for result in try_join_all(at_work).await? {
        took.extend(result?);
    }
    took.sort_unstable();
    let rate = f64::from(u32::try_from(took.len())?) / time.as_secs_f64();
    row(&format!("product pages a second, {readers} readers"), &format!("{rate:.0}"));
    let millis = quantile(&took, 0.99).as_secs_f64() * 1000.0;
    row("product page, p99", &format!("{millis:.1} ms"));
    Ok(())
}

async fn memory(kubectl: &Kubectl, shop: &str) -> Result<()> {
    let selector = format!("app.kubernetes.io/instance={shop},shop-operator.io/metrics=true");
    for pod in kubectl.pods(&selector).await? {
        let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
        let component = pod["metadata"]["labels"]["app.kubernetes.io/component"].as_str();
        let forward = kubectl.forward(&format!("pod/{name}"), 9091).await?;
        let text = reqwest::get(format!("{}/metrics", forward.url)).await?.text().await?;
        let bytes: f64 = text
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))
            .context("the pod does not say how much memory it has")?
            .parse()?;
        let mebibytes = bytes / f64::from(1 << 20);
        row(&format!("idle RSS of {}", component.unwrap_or(name)), &format!("{mebibytes:.1} MiB"));
    }
    Ok(())
}
