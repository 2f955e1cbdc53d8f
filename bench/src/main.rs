//! Measures a shop: orders through the whole saga, product reads, memory. Prints table rows in
//! Markdown. Bounded in time and count.

mod soak;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use e2e::kubectl::{Address, Kubectl};
use e2e::shopper::Shopper;
use e2e::{eventually, kill};
use futures_util::future::try_join_all;
use serde_json::Value;

/// Longest wait for a process to be started again.
const PATIENCE: Duration = Duration::from_mins(1);

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
    /// Memory and start of each process, and the operator's writes while there is nothing to do.
    Rest {
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// What grows while it runs, at rest and under load, with every probe once a second.
    Soak {
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
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
        Command::Rest { seconds } => rest(&kubectl, &cli.shop, Duration::from_secs(seconds)).await,
        Command::Soak { minutes } => {
            soak::run(&kubectl, &cli.shop, Duration::from_mins(minutes)).await
        }
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
    let at = kubectl.reach(&format!("{shop}-gateway"), 80).await?;
    let scout = Shopper::register(&at).await?;
    stocked(&scout).await?;
    let shelf = Arc::new(shelf(&admin(kubectl, &at, shop).await?, orders).await?);
    let shoppers = try_join_all((0..buyers).map(|_| Shopper::register(&at))).await?;
    let left = Arc::new(AtomicU32::new(orders));
    let begun = Instant::now();
    let buyers_at_work = shoppers.into_iter().map(|shopper| {
        let (left, shelf) = (Arc::clone(&left), Arc::clone(&shelf));
        tokio::spawn(async move {
            let mut took = Vec::new();
            let take = |n: u32| n.checked_sub(1);
            while let Ok(n) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                let product = shelf.iter().cycle().nth(n as usize).context("an empty shelf")?;
                let begun = Instant::now();
                let order = shopper.order(product, 1, "tok_visa").await?;
                let end = shopper.wait_for_end(&order).await?;
                anyhow::ensure!(end["status"] == "paid", "{end}");
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
    let at = kubectl.reach(&format!("{shop}-gateway"), 80).await?;
    let scout = Shopper::register(&at).await?;
    let product = stocked(&scout).await?;
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

/// A product of the demo data, once they are there.
async fn stocked(shopper: &Shopper) -> Result<Value> {
    eventually("demo data is there", PATIENCE, async || shopper.find_product(1).await).await
}

/// The administrator that the operator has made.
async fn admin(kubectl: &Kubectl, at: &Address, shop: &str) -> Result<Shopper> {
    let secret = format!("{shop}-admin");
    let read = async |key: &str| {
        let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
        kubectl.run(&["get", "secret", &secret, "-o", &template]).await
    };
    Shopper::with_account(at, &read("email").await?, &read("password").await?).await
}

/// Products that together have so many units, as many of each; administrators alone see how many there are.
async fn shelf(admin: &Shopper, units: u32) -> Result<Vec<String>> {
    let products = admin.get("/products?limit=50").await?.ok()?;
    let products = products["items"].as_array().context("no items")?;
    let each = i64::from(units.div_ceil(u32::try_from(products.len())?));
    for product in products {
        let id = product["id"].as_str().context("a product has an id")?;
        anyhow::ensure!(admin.available(id).await? >= each, "{product} has not {each} units");
    }
    Ok(products.iter().filter_map(|product| product["id"].as_str()).map(str::to_owned).collect())
}

/// What each process says of itself while nobody shops, and what the operator writes meanwhile.
async fn rest(kubectl: &Kubectl, shop: &str, time: Duration) -> Result<()> {
    let at = kubectl.reach(&format!("{shop}-gateway"), 80).await?;
    stocked(&Shopper::register(&at).await?).await?;
    let services = format!("app.kubernetes.io/instance={shop},shop-operator.io/metrics=true");
    for pod in kubectl.pods(&services).await? {
        let (name, component) = named(&pod)?;
        let metrics = kubectl.metrics(name).await?;
        row(&format!("{component}: RSS at rest"), &mebibytes(&metrics)?);
    }
    let operator = Kubectl::new("shop-system");
    let pods = operator.pods("app.kubernetes.io/name=shop-operator").await?;
    let written = async || {
        let mut all = String::new();
        for pod in &pods {
            all += &operator.metrics(named(pod)?.0).await?;
        }
        // Of the replicas one writes; the others have no such series.
        let lines = all.lines().filter(|line| !line.contains("resource=\"leases\""));
        sum(&lines.collect::<Vec<_>>().join("\n"), "shop_operator_writes_total")
    };
    for pod in &pods {
        let metrics = operator.metrics(named(pod)?.0).await?;
        row("operator: RSS of a replica at rest", &mebibytes(&metrics)?);
    }
    let before = written().await?;
    tokio::time::sleep(time).await;
    let what = format!("operator: writes within {} s at rest, without its Lease", time.as_secs());
    row(&what, &(written().await? - before).to_string());
    starts(kubectl, &services).await
}

/// How long each service takes to start where nothing else does: its process is killed, and the pod starts
/// it again.
async fn starts(kubectl: &Kubectl, services: &str) -> Result<()> {
    for pod in kubectl.pods(services).await? {
        let (name, component) = named(&pod)?;
        let killed = kill::in_place(kubectl, &pod, PATIENCE).await?;
        anyhow::ensure!(killed, "the nodes are not on this machine");
        let ready = format!("pod/{name}");
        kubectl.run(&["wait", "--for=condition=Ready", &ready, "--timeout=60s"]).await?;
        let metrics = kubectl.metrics(name).await?;
        let took = sum(&metrics, "service_start_duration_seconds")? * 1000.0;
        row(&format!("{component}: start to ready"), &format!("{took:.0} ms"));
    }
    Ok(())
}

/// Name and component of a pod.
fn named(pod: &Value) -> Result<(&str, &str)> {
    let metadata = &pod["metadata"];
    let component = metadata["labels"]["app.kubernetes.io/component"].as_str();
    let name = metadata["name"].as_str().context("a pod has a name")?;
    Ok((name, component.unwrap_or(name)))
}

fn mebibytes(metrics: &str) -> Result<String> {
    let bytes = sum(metrics, "process_resident_memory_bytes")?;
    Ok(format!("{:.1} MiB", bytes / f64::from(1 << 20)))
}

/// Sum of all series of a metric.
fn sum(metrics: &str, name: &str) -> Result<f64> {
    let series = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()).flatten()
    });
    let values = series.map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    anyhow::ensure!(!values.is_empty(), "{name} is not measured");
    Ok(values.iter().sum())
}
