//! What every reconciliation shares.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use operator_core::crd::Shop;
use operator_core::status::Part;
use operator_core::validate::{Capabilities, Config};
use prometheus::IntGauge;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cache::Cache;
use crate::events::Events;
use crate::metrics::Metrics;

/// Time after which a Shop is looked at again although nothing happened.
pub const RESYNC: Duration = Duration::from_mins(5);
/// Longest time of one reconciliation; engines that do not answer have shorter timeouts.
pub const PASS_TIMEOUT: Duration = Duration::from_mins(5);
/// How long a stage of a deletion may fail before what is left is left.
const GIVE_UP: Duration = Duration::from_mins(10);
/// First and longest wait after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(2));

/// What every reconciliation shares.
pub struct Context {
    /// Client of the API server.
    pub client: Client,
    /// Configuration of the operator, as far as it shapes a shop.
    pub config: Config,
    /// What is known of every Shop's children.
    pub cache: Arc<Cache>,
    /// Optional APIs that the cluster has now.
    pub capabilities: watch::Receiver<Capabilities>,
    /// What the operator measures.
    pub metrics: Metrics,
    /// Recorder of Kubernetes events.
    pub events: Events,
    /// Waits after errors.
    pub backoff: Backoff,
    /// What was last found true outside the cluster.
    pub checks: Checks,
    /// Since when the deletion of Shops fails.
    pub failing: Failing,
    /// Every Shop there is.
    pub shops: Shops,
    /// Longest time of one reconciliation.
    pub pass_timeout: Duration,
}

impl Context {
    /// A context in which nothing is known yet. `pod` reports events.
    pub fn new(
        client: Client,
        config: Config,
        capabilities: watch::Receiver<Capabilities>,
        metrics: Metrics,
        pod: String,
    ) -> Self {
        Self {
            events: Events::new(client.clone(), pod),
            client,
            config,
            cache: Arc::default(),
            capabilities,
            backoff: Backoff::new(metrics.retry_queue.clone()),
            metrics,
            checks: Checks::default(),
            failing: Failing::new(GIVE_UP),
            shops: Shops::default(),
            pass_timeout: PASS_TIMEOUT,
        }
    }
}

/// Every Shop that is watched, in whatever namespaces.
#[derive(Default)]
pub struct Shops(Mutex<Vec<Store<Shop>>>);

impl Shops {
    /// Adds the Shops of a watch.
    pub fn add(&self, store: Store<Shop>) {
        lock(&self.0).push(store);
    }

    /// All of them, once every watch has listed its own.
    pub async fn all(&self) -> Vec<Arc<Shop>> {
        let stores = lock(&self.0).clone();
        for store in &stores {
            // Fails only when the watch has died, which is noticed elsewhere.
            let _ = store.wait_until_ready().await;
        }
        stores.iter().flat_map(Store::state).collect()
    }
}

/// Exponential waits per Shop, with jitter and a cap.
#[derive(Debug)]
pub struct Backoff {
    failures: Mutex<HashMap<ObjectRef<Shop>, u32>>,
    /// How many Shops wait.
    gauge: IntGauge,
}

impl Backoff {
    /// No Shop waits yet.
    pub fn new(gauge: IntGauge) -> Self {
        Self { failures: Mutex::default(), gauge }
    }

    /// How long to wait after one more error.
    pub fn next(&self, shop: &ObjectRef<Shop>) -> Duration {
        let mut failures = lock(&self.failures);
        let count = failures.entry(shop.clone()).or_default();
        let (first, longest) = BACKOFF;
        let wait = first.saturating_mul(2_u32.saturating_pow(*count)).min(longest);
        *count = count.saturating_add(1);
        self.measure(&failures);
        wait.mul_f64(rand::random_range(0.8..1.2))
    }

    /// Starts again with the shortest wait: the Shop does not wait for a retry any more.
    pub fn reset(&self, shop: &ObjectRef<Shop>) {
        let mut failures = lock(&self.failures);
        failures.remove(shop);
        self.measure(&failures);
    }

    fn measure(&self, failures: &HashMap<ObjectRef<Shop>, u32>) {
        self.gauge.set(i64::try_from(failures.len()).unwrap_or(i64::MAX));
    }
}

/// A part of a shop that is checked by talking to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Postgres.
    Database,
    /// Redis.
    Cache,
    /// Kafka.
    Events,
    /// The object store.
    Objects,
}

/// What was last found true outside the cluster, so that a reconciliation at rest talks to no
/// server.
#[derive(Debug, Default)]
pub struct Checks(Mutex<HashMap<(ObjectRef<Shop>, Engine), Check>>);

#[derive(Debug)]
struct Check {
    wish: String,
    part: Part,
    at: Instant,
}

impl Checks {
    /// The result of the last check if it was for the same wish and is not too old.
    pub fn recall(&self, shop: &ObjectRef<Shop>, engine: Engine, wish: &str) -> Option<Part> {
        let checks = lock(&self.0);
        let check = checks.get(&(shop.clone(), engine))?;
        // A little shorter than the resync, which is to check again.
        let fresh = check.at.elapsed() < RESYNC.mul_f64(0.7);
        (fresh && check.wish == wish).then(|| check.part.clone())
    }

    /// Notes the result of a check.
    pub fn note(&self, shop: &ObjectRef<Shop>, engine: Engine, wish: String, part: Part) {
        lock(&self.0).insert((shop.clone(), engine), Check { wish, part, at: Instant::now() });
    }

    /// Forgets one check of a Shop.
    pub fn forget_engine(&self, shop: &ObjectRef<Shop>, engine: Engine) {
        lock(&self.0).remove(&(shop.clone(), engine));
    }

    /// Forgets a Shop that is gone.
    pub fn forget(&self, shop: &ObjectRef<Shop>) {
        lock(&self.0).retain(|(checked, _), _| checked != shop);
    }
}

/// A part of a deletion that may fail for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// What talks to the servers goes.
    Workloads,
    /// What is in the servers goes.
    Servers,
}

/// Since when deletions fail. A new process counts again: it rather waits too long than leaves too much.
#[derive(Debug)]
pub struct Failing {
    since: Mutex<HashMap<(ObjectRef<Shop>, Stage), Instant>>,
    limit: Duration,
}

impl Failing {
    /// A stage may fail for so long before what is left is left.
    pub fn new(limit: Duration) -> Self {
        Self { since: Mutex::default(), limit }
    }

    /// Whether a stage, which fails at `now`, has done so for too long.
    pub fn is_over(&self, shop: &ObjectRef<Shop>, stage: Stage, now: Instant) -> bool {
        now - *lock(&self.since).entry((shop.clone(), stage)).or_insert(now) > self.limit
    }

    /// A stage has passed.
    pub fn forget_stage(&self, shop: &ObjectRef<Shop>, stage: Stage) {
        lock(&self.since).remove(&(shop.clone(), stage));
    }

    /// The Shop may go.
    pub fn forget(&self, shop: &ObjectRef<Shop>) {
        lock(&self.since).retain(|(failing, _), _| failing != shop);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while it holds this lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_cap_and_begin_anew() {
        let backoff = Backoff::new(Metrics::new().unwrap().retry_queue);
        let shop = ObjectRef::new("demo");
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next(&shop)).collect();
        assert!(waits[0] < Duration::from_millis(1200));
        assert!(waits[6] > waits[0] && waits[39] <= BACKOFF.1.mul_f64(1.2));
        backoff.reset(&shop);
        assert!(backoff.next(&shop) < Duration::from_millis(1200));
    }

    #[test]
    fn a_deletion_is_over_when_a_stage_has_failed_for_the_limit() {
        let (failing, shop) = (Failing::new(Duration::from_mins(10)), ObjectRef::new("demo"));
        let begun = Instant::now();
        assert!(!failing.is_over(&shop, Stage::Servers, begun));
        assert!(!failing.is_over(&shop, Stage::Servers, begun + Duration::from_mins(9)));
        let later = begun + Duration::from_mins(11);
        assert!(failing.is_over(&shop, Stage::Servers, later));
        assert!(!failing.is_over(&shop, Stage::Workloads, later), "this has failed once");
        failing.forget_stage(&shop, Stage::Servers);
        assert!(!failing.is_over(&shop, Stage::Servers, later), "it has passed meanwhile");
    }

    #[test]
    fn the_retry_gauge_goes_up_and_down() {
        let gauge = Metrics::new().unwrap().retry_queue;
        let backoff = Backoff::new(gauge.clone());
        let (one, other) = (ObjectRef::new("one"), ObjectRef::new("other"));
        for shop in [&one, &one, &other] {
            backoff.next(shop);
        }
        assert_eq!(gauge.get(), 2);
        backoff.reset(&one);
        backoff.reset(&one);
        assert_eq!(gauge.get(), 1);
        backoff.reset(&other);
        assert_eq!(gauge.get(), 0);
    }
}
