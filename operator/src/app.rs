//! The process: telemetry, admin port, election, and the controllers while this replica leads.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kube::client::ClientBuilder;
use kube::{Client, Config as ClientConfig};
use operator_core::crd;
use operator_core::names::{self, OPERATOR};
use operator_core::validate::{Capabilities, Config, EngineImages};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::timeout::TimeoutLayer;
use tower::util::MapRequestLayer;
use tracing::info;

use crate::admin::{self, Phase};
use crate::context::Context;
use crate::controller;
use crate::crds::{self, Installed, Pod};
use crate::leader::{Elector, Timing};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::watches;

/// For the headers of a response of the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// For each read of a response's body. Longer than the API server keeps a watch without events open.
const READ_TIMEOUT: Duration = Duration::from_mins(5);
/// How long reconciliations under way may take after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// Why the process ends before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the API server.
    #[error("could not connect to the API server")]
    Client(#[source] kube::Error),
    /// Neither a pod's credentials nor a kubeconfig were found.
    #[error("could not find out how to reach the API server")]
    Configuration(#[source] kube::config::InferConfigError),
    /// Two metrics share a name.
    #[error("could not register metrics")]
    Metrics(#[from] prometheus::Error),
    /// The admin port or the signal handler failed.
    #[error("could not listen")]
    Listen(#[source] std::io::Error),
    /// Another replica may lead now, so this one must not write any more.
    #[error("lost the lease")]
    LeaseLost,
    /// SIGTERM came, and reconciliations have not ended since.
    #[error("reconciliations under way took longer than {} s", GRACE.as_secs())]
    Unfinished,
    /// A task ended that never should.
    #[error("{0} has died")]
    Died(&'static str),
}

/// Runs a future on a runtime of its own. After an error nothing is waited for: threads that talk to Kafka would write on although another
/// replica may lead. They end with the process.
pub fn run_to_end<E: From<std::io::Error>>(
    future: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(future);
    if result.is_err() {
        runtime.shutdown_background();
    }
    result
}

/// Runs until SIGTERM.
pub async fn run(settings: Settings) -> Result<(), Error> {
    let metrics = Metrics::new()?;
    let stop = CancellationToken::new();
    let (phase, phases) = watch::channel(Phase::Starting);
    let (crd, crds) = watch::channel(Installed::default());
    let states = (phases, crds);
    let admin = admin::serve(settings.admin_addr, states, metrics.clone(), stop.clone());
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::Listen)?;
    let operator = operate(settings, metrics, phase, crd, stop.clone());
    tokio::pin!(operator);
    tokio::select! {
        result = admin => result.map_err(Error::Listen).and(Err(Error::Died("the admin port"))),
        result = &mut operator => result,
        _ = terminated.recv() => {
            info!("told to stop");
            stop.cancel();
            operator.await
        }
    }
}

async fn operate(
    settings: Settings,
    metrics: Metrics,
    phase: watch::Sender<Phase>,
    crd: watch::Sender<Installed>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let config = ClientConfig::infer().await.map_err(Error::Configuration)?;
    let client = client(config, &metrics).map_err(Error::Client)?;
    let (ours, checked) = (crd::definition(), crd.subscribe());
    let pod = Pod {
        namespace: settings.operator_namespace.clone(),
        name: settings.pod_name.clone(),
        uid: settings.pod_uid.clone(),
    };
    let leading =
        Box::pin(contend(client.clone(), settings, metrics.clone(), phase, checked, stop));
    let checking = crds::follow(client, &ours, &pod, &metrics, &crd);
    tokio::select! {
        () = checking => Err(Error::Died("the watch on the CRD")),
        result = leading => result,
    }
}

/// Stands by until this replica leads, and leads until `stop`.
async fn contend(
    client: Client,
    settings: Settings,
    metrics: Metrics,
    phase: watch::Sender<Phase>,
    mut crd: watch::Receiver<Installed>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let identity = format!("{}_{:08x}", settings.pod_name, rand::random::<u32>());
    let namespace = settings.operator_namespace.clone();
    let mut elector =
        Elector::new(client.clone(), &namespace, OPERATOR, identity, Timing::default());
    // A replica that is ready for a moment would take the place of one that fits the CRD.
    tokio::select! {
        _ = crd.wait_for(|crd| *crd != Installed::Pending) => {}
        () = stop.cancelled() => return Ok(()),
    }
    phase.send_replace(Phase::Standby);
    tokio::select! {
        () = elector.acquire() => {}
        () = stop.cancelled() => return Ok(()),
    }
    metrics.leader.set(1);
    phase.send_replace(Phase::Syncing);
    let leading = lead(client, settings, metrics, phase, stop.clone());
    let result = tokio::select! {
        // Nothing may be written from here on, so what is under way is dropped.
        () = elector.hold() => return Err(Error::LeaseLost),
        result = leading => result,
    };
    // After an error something may still be written, and the lease has to expire.
    if result.is_ok() {
        elector.release().await;
    }
    result
}

/// Reconciles until `stop`.
async fn lead(
    client: Client,
    settings: Settings,
    metrics: Metrics,
    phase: watch::Sender<Phase>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let now = watches::capabilities(&client, Capabilities::default()).await;
    let (found, capabilities) = watch::channel(now);
    let pod = settings.pod_name.clone();
    let config = configuration(&settings);
    let context = Arc::new(Context::new(client.clone(), config, capabilities, metrics, pod));
    let mut full = Vec::new();
    let prepared: Vec<_> = settings
        .scopes()
        .into_iter()
        .map(|namespace| {
            let (done, synced) = oneshot::channel();
            full.push(synced);
            let (context, stop) = (context.clone(), stop.clone());
            controller::run(context, namespace, settings.concurrency, done, stop)
        })
        .collect();
    let mut tasks: JoinSet<()> = prepared.into_iter().collect();
    let discovery = watches::discover(client, &found);
    tokio::pin!(discovery);
    let announce = async {
        if join_all(full).await.iter().all(Result::is_ok) {
            phase.send_replace(Phase::Leading);
            info!("caches are full, reconciling");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {
            timeout(GRACE, tasks.join_all()).await.map_err(|_| Error::Unfinished)?;
            Ok(())
        }
        () = announce => unreachable!("it is pending for ever"),
        () = &mut discovery => Err(Error::Died("discovery")),
        _ = tasks.join_next() => Err(Error::Died("a controller")),
    }
}

/// A client with timeouts, of which every mutating request is counted.
pub fn client(mut config: ClientConfig, metrics: &Metrics) -> kube::Result<Client> {
    config.read_timeout = Some(READ_TIMEOUT);
    // Otherwise the idle time of a pooled connection counts too.
    config.reset_reader_on_write = true;
    let metrics = metrics.clone();
    let count = MapRequestLayer::new(move |request| {
        metrics.count_request(&request);
        request
    });
    let limit = TimeoutLayer::new(REQUEST_TIMEOUT);
    Ok(ClientBuilder::try_from(config)?.with_layer(&count).with_layer(&limit).build())
}

/// What of the settings shapes a shop.
pub fn configuration(settings: &Settings) -> Config {
    Config {
        image_repository: settings.service_image_repository.clone(),
        version: settings.service_version.clone(),
        engine_images: EngineImages {
            postgres: settings.postgres_image.clone(),
            redis: settings.redis_image.clone(),
            kafka: settings.kafka_image.clone(),
            mail: settings.mail_image.clone(),
            objects: settings.objects_image.clone(),
        },
        operator_namespace: settings.operator_namespace.clone(),
        operator_pod_labels: names::labels([(names::NAME_LABEL, OPERATOR)]),
        cluster_domain: settings.cluster_domain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use tokio::task::spawn_blocking;

    use super::*;

    #[test]
    fn a_lost_lease_waits_for_no_thread() {
        let (release, released) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let result = run_to_end(async {
                let (begun, begins) = oneshot::channel();
                // A request to Kafka that is not answered.
                spawn_blocking(move || {
                    begun.send(()).unwrap();
                    released.recv()
                });
                begins.await.unwrap();
                Err::<(), _>(Box::<dyn std::error::Error + Send + Sync>::from(Error::LeaseLost))
            });
            ended.send(result.unwrap_err().to_string()).unwrap();
        });
        let text = end.recv_timeout(Duration::from_mins(1)).expect("it does not wait");
        assert_eq!(text, "lost the lease");
        drop(release);
    }
}
