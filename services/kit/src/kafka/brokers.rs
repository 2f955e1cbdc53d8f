//! Clients that know no broker any more.
//!
//! A Kafka that starts or stops may answer for a moment that there are no brokers. librdkafka then forgets all of them, those
//! of `bootstrap.servers` too, and asks nobody ever again (its issue 5301, from 2.10 on). Only a new client does.

use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::statistics::Statistics;
use tokio_util::sync::CancellationToken;

/// How often a client says what it knows.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// Whether one client has forgotten all brokers. Clones watch the same client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Brokers(CancellationToken);

impl Brokers {
    /// Looks into what the client says of itself.
    pub(crate) fn watch(&self, statistics: &Statistics) {
        // The others are librdkafka's own: a handle that has no address, such as the group coordinator's.
        let known = |source: &str| matches!(source, "configured" | "learned");
        if !statistics.brokers.values().any(|broker| known(&broker.source)) {
            self.0.cancel();
        }
    }

    /// Whether there is no use in this client any more.
    pub(crate) fn are_forgotten(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until there is no use in this client any more.
    pub(crate) async fn forgotten(&self) {
        self.0.cancelled().await;
    }
}

impl ClientContext for Brokers {
    fn stats(&self, statistics: Statistics) {
        self.watch(&statistics);
    }
}
