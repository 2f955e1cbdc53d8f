//! The operator under test.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use operator_core::crd::Shop;
use operator_core::validate::Capabilities;
use shop_operator::context::{Context, Deletions, PASS_TIMEOUT};
use shop_operator::metrics::Metrics;
use shop_operator::{app, controller, reconcile, settings::Cli, watches};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::server;
use crate::world::{PATIENCE, World};

/// A running operator.
pub(crate) struct Operator {
    pub(crate) context: Arc<Context>,
    found: Arc<watch::Sender<Capabilities>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl World {
    /// An operator for this namespace.
    pub(crate) async fn operator(&self) -> Operator {
        let metrics = Metrics::new().unwrap();
        let client = app::client(server::operator_config().await, &metrics).unwrap();
        let (found, _) = watch::channel(Capabilities::default());
        self.operator_with(client, metrics, found).await
    }

    /// An operator for this namespace that looks for optional APIs, as the process does.
    pub(crate) async fn discovering_operator(&self) -> Operator {
        let metrics = Metrics::new().unwrap();
        let client = app::client(server::operator_config().await, &metrics).unwrap();
        let now = watches::capabilities(&client, Capabilities::default()).await;
        let (found, _) = watch::channel(now);
        let mut operator = self.operator_with(client.clone(), metrics, found).await;
        let (found, stop) = (operator.found.clone(), operator.stop.clone());
        operator.tasks.spawn(async move {
            stop.run_until_cancelled(watches::discover(client, &found)).await;
        });
        operator
    }

    pub(crate) async fn operator_with(
        &self,
        client: Client,
        metrics: Metrics,
        found: watch::Sender<Capabilities>,
    ) -> Operator {
        self.operator_within(PASS_TIMEOUT, client, metrics, found).await
    }

    /// An operator whose reconciliations may take only so long.
    pub(crate) async fn operator_within(
        &self,
        pass_timeout: Duration,
        client: Client,
        metrics: Metrics,
        found: watch::Sender<Capabilities>,
    ) -> Operator {
        let cli = <Cli as clap::Parser>::parse_from(["shop-operator"]);
        let config = app::configuration(&cli.settings);
        let pod = "operator-under-test".to_owned();
        let found = Arc::new(found);
        let mut context = Context::new(client, config, found.subscribe(), metrics, pod);
        if let Some(limit) = self.deletion_limit {
            context.deletions = Deletions::new(limit.try_into().unwrap());
        }
        context.pass_timeout = pass_timeout;
        let context = Arc::new(context);
        let stop = CancellationToken::new();
        let (done, synced) = oneshot::channel();
        let namespace = Some(self.namespace.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(controller::run(context.clone(), namespace, 2, done, stop.clone()));
        let _ = timeout(PATIENCE, synced).await.expect("caches fill in time");
        Operator { context, found, stop, tasks }
    }
}

impl Operator {
    pub(crate) fn writes(&self) -> u64 {
        self.context.metrics.writes_total()
    }

    /// Reconciles a Shop here and now; returns the number of writes that took.
    pub(crate) async fn reconcile(&self, shop: &Shop) -> u64 {
        let before = self.writes();
        let _ = Box::pin(reconcile::reconcile(shop, &self.context)).await;
        self.writes() - before
    }

    /// Waits until reconciling writes nothing any more: as long as the caches have not seen what was
    /// written last, that is read and maybe written once more.
    pub(crate) async fn settle(&self, world: &World) {
        let deadline = Instant::now() + PATIENCE;
        while self.reconcile(&world.shop().await).await > 0 {
            assert!(Instant::now() < deadline, "reconciling never stops writing");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops when there is nothing left to write. A new process has nothing to write either.
    pub(crate) async fn comes_to_rest(self, world: &World, anew: impl AsyncFnOnce() -> Self) {
        self.settle(world).await;
        self.stop().await;
        let fresh = anew().await;
        let shop = world.shop().await;
        for _ in 0..3 {
            assert_eq!(fresh.reconcile(&shop).await, 0);
        }
        assert_eq!(fresh.writes(), 0);
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}
