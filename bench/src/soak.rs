//! What grows while a shop runs: processes, zombies, descriptors, threads, memory and disk of every container of the shop
//! and of the operator, rows of every table, the volumes of Postgres and Kafka. First at rest, then under one order a
//! second, with every probe once a second. Growth is printed per hour; what grows beyond its limit is an error. The nodes
//! must be on this machine.

mod limits;
mod load;
mod probes;
mod tables;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::containers::{self, Usage};
use e2e::invariants::Databases;
use e2e::kubectl::Kubectl;
use e2e::probes::Probe;
use tokio::task::JoinHandle;

/// Where the chart is installed, and the pods of the operator there.
const OPERATOR_NAMESPACE: &str = "shop-system";
const OPERATOR: &str = "app.kubernetes.io/name=shop-operator";
/// Samples of a phase.
const SAMPLES: u32 = 24;

/// What was measured at one time.
struct Sample {
    at: Duration,
    /// By pod and container.
    containers: BTreeMap<String, Usage>,
    /// Rows, by service and table.
    tables: BTreeMap<(String, String), i64>,
}

/// A part of the run.
struct Phase {
    name: &'static str,
    samples: Vec<Sample>,
    orders: u32,
    time: Duration,
}

/// Runs both phases and prints what has grown. A third of the time is spent at rest.
pub(crate) async fn run(kubectl: &Kubectl, shop: &str, time: Duration) -> Result<()> {
    let shop_pods = format!("app.kubernetes.io/instance={shop}");
    let operator = Kubectl::new(OPERATOR_NAMESPACE);
    let watched = [(kubectl, shop_pods.as_str()), (&operator, OPERATOR)];
    let mut all = Vec::new();
    for (kubectl, selector) in watched {
        all.extend(Probe::of(kubectl, &kubectl.pods(selector).await?)?);
    }
    let probes = probes::start(all);
    let load = load::Load::prepare(kubectl, shop).await?;
    let databases = Databases::of(kubectl, shop).await?;
    // What the preparation has begun is over: connections, caches, e-mails.
    tokio::time::sleep(time / 30).await;
    let mut exceeded = Vec::new();
    for (name, time, under_load) in
        [("at rest", time / 3, false), ("one order a second", time * 2 / 3, true)]
    {
        let orders = under_load.then(|| load.clone().start());
        let samples = measure(&watched, &databases, time).await?;
        let orders = match orders {
            Some(load) => load.stop().await?,
            None => 0,
        };
        exceeded.extend(limits::report(&Phase { name, samples, orders, time })?);
    }
    exceeded.extend(probes.stop().await?);
    ensure!(exceeded.is_empty(), "{} grow too much:\n{}", exceeded.len(), exceeded.join("\n"));
    Ok(())
}

async fn measure(
    watched: &[(&Kubectl, &str)],
    databases: &Databases,
    time: Duration,
) -> Result<Vec<Sample>> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    let mut clock = tokio::time::interval(time / SAMPLES);
    while begun.elapsed() < time {
        clock.tick().await;
        let at = begun.elapsed();
        let mut pods = Vec::new();
        for (kubectl, selector) in watched {
            pods.extend(kubectl.pods(selector).await?);
        }
        let containers = containers::usage(&pods).await?;
        samples.push(Sample { at, containers, tables: tables::rows(databases).await? });
    }
    ensure!(samples.len() >= 8, "only {} samples: take more time", samples.len());
    Ok(samples)
}

/// Something that goes on until it is stopped.
struct Running<T> {
    stop: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<Result<T>>,
}

impl<T> Running<T> {
    async fn stop(self) -> Result<T> {
        let _ = self.stop.send(true);
        self.task.await?
    }
}
