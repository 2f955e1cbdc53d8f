//! How far behind a consumer is, from what librdkafka knows.

use std::sync::LazyLock;

use prometheus::GaugeVec;
use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::statistics::{Partition, Statistics};

use crate::kafka::brokers::Brokers;
use crate::metric;

static LAG: LazyLock<GaugeVec> = metric!(
    gauge,
    "events_lag",
    "Events in a partition of Kafka that this process has to consume, by topic and partition.",
    &["topic", "partition"]
);

/// Forgets what was measured: the next client may have other partitions.
pub(super) fn forget() {
    LAG.reset();
}

/// Measures the lag of every partition that is assigned.
#[derive(Default)]
pub(super) struct Lag {
    pub(super) brokers: Brokers,
}

impl ClientContext for Lag {
    fn stats(&self, statistics: Statistics) {
        self.brokers.watch(&statistics);
        for (name, topic) in &statistics.topics {
            for (id, partition) in &topic.partitions {
                let labels = [name.as_str(), &id.to_string()];
                match of(partition).filter(|_| partition.fetch_state != "none") {
                    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                    Some(lag) => LAG.with_label_values(&labels).set(lag as f64),
                    // Another member's.
                    None => drop(LAG.remove_label_values(&labels)),
                }
            }
        }
    }
}

impl ConsumerContext for Lag {}

/// What is behind the committed offset, or all if there is none yet.
fn of(partition: &Partition) -> Option<i64> {
    let end = Some(partition.hi_offset).filter(|end| *end >= 0)?;
    Some((end - partition.committed_offset.max(partition.lo_offset).max(0)).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_was_not_committed() {
        // -1001: librdkafka's RD_KAFKA_OFFSET_INVALID.
        let lag = |lo_offset, hi_offset, committed_offset| {
            of(&Partition { lo_offset, hi_offset, committed_offset, ..Partition::default() })
        };
        assert_eq!(lag(0, 10, 7), Some(3));
        assert_eq!(lag(4, 10, -1001), Some(6), "nothing was ever committed");
        assert_eq!(lag(8, 10, 7), Some(2), "the rest has been removed");
        assert_eq!(lag(-1001, -1001, -1001), None, "not yet known");
    }
}
