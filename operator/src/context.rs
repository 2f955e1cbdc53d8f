//! What every reconciliation shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use operator_core::crd::Shop;
use operator_core::facts::DeletionFacts;
use operator_core::plan::DeletionProgress;
use operator_core::validate::{Capabilities, Config};
use prometheus::IntGauge;
use tokio::sync::watch;

use crate::cache::Cache;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::observe::Answers;

/// Longest time of one reconciliation; engines that do not answer have shorter timeouts.
pub const PASS_TIMEOUT: Duration = Duration::from_mins(5);
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
    /// Last answers of the servers that Shops use.
    pub servers: Answers,
    /// How far the deletions of Shops are.
    pub deletions: Deletions,
    /// Every Shop there is.
    pub shops: Shops,
    /// Longest time of one reconciliation.
    pub pass_timeout: Duration,
}

impl Context {
    /// Forgets a Shop that is gone.
    pub fn forget(&self, shop: &ObjectRef<Shop>) {
        self.backoff.reset(shop);
        self.servers.forget(shop);
        self.deletions.forget(shop);
        self.cache.forget(shop);
    }

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
            servers: Answers::default(),
            deletions: Deletions::new(DeletionFacts::default().limit),
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

/// Since when a stage of each Shop's deletion has been waited for. A new process counts again: it rather waits too long than leaves too
/// much behind.
#[derive(Debug)]
pub struct Deletions {
    since: Mutex<HashMap<ObjectRef<Shop>, DeletionFacts>>,
    limit: SignedDuration,
}

impl Deletions {
    /// A stage may take so long before what is left is left behind.
    pub fn new(limit: SignedDuration) -> Self {
        Self { since: Mutex::default(), limit }
    }

    /// How far the deletion of a Shop is.
    pub fn facts(&self, shop: &ObjectRef<Shop>) -> DeletionFacts {
        let known = lock(&self.since).get(shop).cloned();
        known.unwrap_or_else(|| DeletionFacts { limit: self.limit, ..DeletionFacts::default() })
    }

    /// Records what a deletion waits for.
    pub fn record(&self, shop: &ObjectRef<Shop>, progress: &DeletionProgress, now: Timestamp) {
        let mut facts = self.facts(shop);
        match progress {
            DeletionProgress::Workloads => {
                facts.workloads_since.get_or_insert(now);
            }
            DeletionProgress::Servers => {
                facts.servers_since.get_or_insert(now);
            }
            DeletionProgress::Done { .. } => {}
        }
        lock(&self.since).insert(shop.clone(), facts);
    }

    /// Forgets a Shop that is gone.
    pub fn forget(&self, shop: &ObjectRef<Shop>) {
        lock(&self.since).remove(shop);
    }
}

/// # Panics
///
/// If a thread panicked while it held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
    fn a_stage_of_a_deletion_is_dated_once() {
        let deletions = Deletions::new(SignedDuration::from_mins(1));
        let shop = ObjectRef::new("demo");
        let at = |second| Timestamp::from_second(second).unwrap();
        deletions.record(&shop, &DeletionProgress::Servers, at(1));
        deletions.record(&shop, &DeletionProgress::Servers, at(9));
        let facts = deletions.facts(&shop);
        assert_eq!((facts.servers_since, facts.workloads_since), (Some(at(1)), None));
        assert_eq!(facts.limit, SignedDuration::from_mins(1));
        deletions.forget(&shop);
        assert_eq!(deletions.facts(&shop).servers_since, None);
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
