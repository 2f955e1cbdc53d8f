//! What the operator measures of itself. Every metric name stands here.

use std::sync::Arc;

use http::{Method, Request};
use kube::ResourceExt as _;
use kube::client::Body;
use operator_core::crd::{BackupStatus, Shop};
use operator_core::validate::Backups;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, process_collector::ProcessCollector,
};

use crate::passes::Passes;

/// Labels of what is told of one Shop. `namespace` is the operator's own where Prometheus asks.
const SHOP: [&str; 2] = ["shop_namespace", "shop"];

/// The operator's metrics and the registry that prints them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// `shop_operator_reconcile_duration_seconds{result}`.
    pub reconcile_duration: HistogramVec,
    /// `shop_operator_reconcile_errors_total{reason}`.
    pub reconcile_errors: IntCounterVec,
    /// Reconciliations under way, with `shop_operator_reconciles_in_flight`.
    pub passes: Arc<Passes>,
    /// `shop_operator_retry_queue_length`: Shops that wait for their next try after an error.
    pub retry_queue: IntGauge,
    /// `shop_operator_writes_total{verb,resource}`: mutating requests to the API server.
    pub writes: IntCounterVec,
    /// `shop_operator_backup_last_success_timestamp_seconds{shop_namespace,shop}`: when the newest backup was
    /// complete.
    pub backup_last_success: IntGaugeVec,
    /// `shop_operator_backup_interval_seconds{shop_namespace,shop}`: the longest time between two backups by
    /// the schedule; nothing while it is suspended.
    pub backup_interval: IntGaugeVec,
    /// `shop_operator_backup_failed{shop_namespace,shop}`: 1 if the last backup failed.
    pub backup_failed: IntGaugeVec,
    /// `shop_operator_leader`: 1 while this replica leads.
    pub leader: IntGauge,
    /// `shop_operator_crd_outdated`: 1 if the CRD in the cluster cannot hold what this version writes.
    pub crd_outdated: IntGauge,
}

impl Metrics {
    /// Registers everything in a registry of its own.
    ///
    /// # Errors
    ///
    /// Fails if two metrics share a name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let in_flight =
            IntGauge::new("shop_operator_reconciles_in_flight", "Reconciliations running now.")?;
        let metrics = Self {
            reconcile_duration: HistogramVec::new(
                HistogramOpts::new(
                    "shop_operator_reconcile_duration_seconds",
                    "Time that one reconciliation of one Shop took.",
                )
                .buckets(prometheus::exponential_buckets(0.002, 2.5, 10)?),
                &["result"],
            )?,
            reconcile_errors: IntCounterVec::new(
                Opts::new("shop_operator_reconcile_errors_total", "Failed reconciliations."),
                &["reason"],
            )?,
            passes: Arc::new(Passes::new(in_flight.clone())),
            retry_queue: IntGauge::new(
                "shop_operator_retry_queue_length",
                "Shops that wait for their next try after an error.",
            )?,
            writes: IntCounterVec::new(
                Opts::new("shop_operator_writes_total", "Mutating requests to the API server."),
                &["verb", "resource"],
            )?,
            backup_last_success: IntGaugeVec::new(
                Opts::new(
                    "shop_operator_backup_last_success_timestamp_seconds",
                    "When the newest backup of a shop was complete.",
                ),
                &SHOP,
            )?,
            backup_interval: IntGaugeVec::new(
                Opts::new(
                    "shop_operator_backup_interval_seconds",
                    "The longest time between two backups of a shop by its schedule.",
                ),
                &SHOP,
            )?,
            backup_failed: IntGaugeVec::new(
                Opts::new("shop_operator_backup_failed", "1 if the last backup of a shop failed."),
                &SHOP,
            )?,
            leader: IntGauge::new("shop_operator_leader", "1 while this replica leads.")?,
            crd_outdated: IntGauge::new(
                "shop_operator_crd_outdated",
                "1 if the CRD in the cluster cannot hold what this version writes.",
            )?,
            registry,
        };
        let registry = &metrics.registry;
        registry.register(Box::new(metrics.reconcile_duration.clone()))?;
        registry.register(Box::new(metrics.reconcile_errors.clone()))?;
        registry.register(Box::new(in_flight))?;
        registry.register(Box::new(metrics.retry_queue.clone()))?;
        registry.register(Box::new(metrics.writes.clone()))?;
        registry.register(Box::new(metrics.backup_last_success.clone()))?;
        registry.register(Box::new(metrics.backup_interval.clone()))?;
        registry.register(Box::new(metrics.backup_failed.clone()))?;
        registry.register(Box::new(metrics.leader.clone()))?;
        registry.register(Box::new(metrics.crd_outdated.clone()))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// Sets the metrics of a shop's backups, or removes them where there are to be none.
    pub fn tell_backups(&self, shop: &Shop, backups: Option<&(Backups, BackupStatus)>) {
        let labels = [&*shop.namespace().unwrap_or_default(), &*shop.name_any()];
        let tell = |gauge: &IntGaugeVec, value: Option<i64>| match value {
            Some(value) => gauge.with_label_values(&labels).set(value),
            // It fails for what was never told.
            None => drop(gauge.remove_label_values(&labels)),
        };
        let (wanted, known) = backups.map(|(wanted, known)| (wanted, known)).unzip();
        let succeeded = known.and_then(|known| Some(&known.last_successful.as_ref()?.time.0));
        let failed = known.and_then(|known| Some(&known.last_failure.as_ref()?.time.0));
        tell(&self.backup_last_success, succeeded.map(|time| time.as_second()));
        let interval =
            wanted.filter(|wanted: &&Backups| !wanted.suspended).map(|wanted| wanted.longest_gap);
        tell(&self.backup_interval, interval.and_then(|gap| i64::try_from(gap.as_secs()).ok()));
        tell(&self.backup_failed, wanted.map(|_| (failed > succeeded).into()));
    }

    /// The text format of Prometheus.
    ///
    /// # Errors
    ///
    /// Fails if a metric cannot be encoded.
    pub fn encode(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Counts a request if it is mutating. Sits below every API call, so that no write escapes.
    pub fn count_request(&self, request: &Request<Body>) {
        let verb = match *request.method() {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => return,
        };
        self.writes.with_label_values(&[verb, resource(request.uri().path())]).inc();
    }

    /// All mutating requests but for those to Leases, which tick at rest.
    pub fn writes_total(&self) -> u64 {
        use prometheus::core::Collector as _;
        let families = self.writes.collect();
        let metrics = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let of_shops =
            metrics.filter(|metric| metric.get_label().iter().all(|l| l.value() != "leases"));
        // Counters only hold whole numbers that fit.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        of_shops.map(|metric| metric.get_counter().get_value() as u64).sum()
    }
}

/// The plural in `/api/v1/namespaces/n/<plural>/…` or `/apis/<group>/<version>/…`.
fn resource(path: &str) -> &str {
    let mut parts = path.trim_start_matches('/').split('/').peekable();
    let prefix = if parts.next() == Some("api") { 1 } else { 2 };
    let mut parts = parts.skip(prefix).peekable();
    match (parts.next(), parts.next(), parts.next()) {
        (Some("namespaces"), Some(_), Some(plural)) | (Some(plural), _, _) => plural,
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_is_read_from_the_path() {
        assert_eq!(resource("/api/v1/namespaces/n/secrets/s"), "secrets");
        assert_eq!(resource("/apis/apps/v1/namespaces/n/deployments/d"), "deployments");
        assert_eq!(
            resource("/apis/shop-operator.io/v1alpha1/namespaces/n/shops/s/status"),
            "shops"
        );
        assert_eq!(
            resource("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/c"),
            "customresourcedefinitions"
        );
        assert_eq!(resource("/api/v1/namespaces/n"), "namespaces");
    }

    #[test]
    fn only_mutating_requests_count() {
        let metrics = Metrics::new().unwrap();
        for (method, path) in [
            (Method::GET, "/api/v1/namespaces/n/secrets/s"),
            (Method::PATCH, "/api/v1/namespaces/n/secrets/s"),
            (Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/n/leases/l"),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            metrics.count_request(&request);
        }
        assert_eq!(metrics.writes_total(), 1);
    }
}
