//! An API server that does not answer, without closing a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::Method;
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use kube::{Client, Config};
use operator_core::validate::Capabilities;
use serde_json::json;
use shop_operator::app;
use shop_operator::leader::{Elector, Timing};
use shop_operator::metrics::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::intercept;
use crate::server;
use crate::world::{PATIENCE, World, condition};

const TIMING: Timing = Timing {
    lease_duration: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(2),
    retry_period: Duration::from_millis(200),
};

/// A TCP proxy. Its connections of a time when it was silent stay open and silent for ever.
struct Proxy {
    url: String,
    silent: Arc<AtomicBool>,
}

impl Proxy {
    async fn start(target: &Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let target = target.cluster_url.authority().unwrap().to_string();
        let silent = Arc::new(AtomicBool::new(false));
        let state = silent.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (state, target) = (state.clone(), target.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(target).await.unwrap();
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::join!(
                        forward(from_client, to_server, &state),
                        forward(from_server, to_client, &state),
                    );
                });
            }
        });
        Self { url, silent }
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    silent: &AtomicBool,
) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_standby_with_a_cut_connection_takes_over() {
    let world = World::new().await;
    let mut config = server::admin_config().await;
    let proxy = Proxy::start(&config).await;
    let direct = Client::try_from(config.clone()).unwrap();
    config.cluster_url = proxy.url.parse().unwrap();
    let proxied = Client::try_from(config).unwrap();
    let elector = |client: &Client, name: &str| {
        Elector::new(client.clone(), &world.namespace, "test", name.to_owned(), TIMING)
    };
    let (mut leader, mut standby) = (elector(&direct, "leader"), elector(&proxied, "standby"));
    timeout(PATIENCE, leader.acquire()).await.expect("nobody else is there");
    // The standby has a connection, which is cut silently.
    let waiting = tokio::spawn(async move { standby.acquire().await });
    tokio::select! {
        () = leader.hold() => panic!("a leader that renews keeps the lease"),
        () = tokio::time::sleep(TIMING.renew_deadline) => {}
    }
    proxy.silent.store(true, Ordering::SeqCst);
    tokio::time::sleep(TIMING.retry_period * 2).await;
    proxy.silent.store(false, Ordering::SeqCst);
    timeout(PATIENCE, waiting).await.expect("the lease has expired").unwrap();
}

#[tokio::test]
async fn a_hung_reconciliation_is_cancelled_and_repeated() {
    let world = World::new().await;
    world.create(json!({})).await;
    let hangs = Arc::new(AtomicBool::new(false));
    let state = hangs.clone();
    let client = intercept::client(move |method| {
        let hangs = *method == Method::PATCH && state.load(Ordering::SeqCst);
        hangs.then(|| std::future::pending().boxed())
    });
    let client = client.await;
    let (found, _) = watch::channel(Capabilities::default());
    let metrics = Metrics::new().unwrap();
    let operator =
        world.operator_within(Duration::from_secs(3), client, metrics.clone(), found).await;
    world.until_ready().await;

    hangs.store(true, Ordering::SeqCst);
    let services: kube::Api<Service> = world.api();
    services.delete("demo-order", &DeleteParams::default()).await.unwrap();
    let timed_out = metrics.reconcile_errors.with_label_values(&["ReconcileTimedOut"]);
    let cancelled = async {
        while timed_out.get() == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, cancelled).await.expect("a pass that hangs is cancelled");
    hangs.store(false, Ordering::SeqCst);
    let back = |service: Option<&Service>| service.is_some();
    let back = kube::runtime::wait::await_condition(services, "demo-order", back);
    timeout(PATIENCE, back).await.expect("the next pass repairs").unwrap();
    assert_eq!(condition(&world.shop().await, "Ready").0, "True");
    operator.stop().await;
}

/// Fails on a client without timeouts, after `PATIENCE`.
#[tokio::test]
async fn requests_without_an_answer_fail() {
    let mut config = server::operator_config().await;
    let proxy = Proxy::start(&config).await;
    config.cluster_url = proxy.url.parse().unwrap();
    let client = app::client(config, &Metrics::new().unwrap()).unwrap();
    client.apiserver_version().await.unwrap();
    proxy.silent.store(true, Ordering::SeqCst);
    let answer = timeout(PATIENCE, client.apiserver_version()).await;
    answer.expect("it gives up").unwrap_err();
}
