//! How far behind a consumer is, and whether its group has it, from what librdkafka knows.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use prometheus::GaugeVec;
use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::statistics::{Partition, Statistics};
use tokio::sync::Notify;

use crate::metric;

/// How often it is measured.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

static LAG: LazyLock<GaugeVec> = metric!(
    gauge,
    "events_lag",
    "Events in a partition of Kafka that this process has to consume, by topic and partition.",
    &["topic", "partition"]
);

/// Measurements in a row without a group, though a broker is connected, after which a member counts as lost: a minute. A
/// group needs seconds to take a member back.
const MAX_OUTSIDE: u32 = 12;

/// Measures the lag of every partition that is assigned, and how long this member has been in no group.
#[derive(Default)]
pub(super) struct Lag {
    outside: AtomicU32,
    /// Notified when the group does not take this member back.
    pub(super) lost: Notify,
}

impl Lag {
    /// After its session has timed out, librdkafka now and then never joins its group again.
    fn watch(&self, statistics: &Statistics) {
        let outside = statistics.cgrp.as_ref().filter(|group| group.join_state != "steady");
        let Some(group) = outside.filter(|_| is_connected(statistics)) else {
            return self.outside.store(0, Ordering::Relaxed);
        };
        let times = self.outside.fetch_add(1, Ordering::Relaxed) + 1;
        if times >= MAX_OUTSIDE {
            let (state, join_state) = (group.state.as_str(), group.join_state.as_str());
            tracing::error!(state, join_state, "the group does not take this member back");
            self.lost.notify_one();
        }
    }
}

fn is_connected(statistics: &Statistics) -> bool {
    statistics.brokers.values().any(|broker| broker.state == "UP")
}

impl ClientContext for Lag {
    fn stats(&self, statistics: Statistics) {
        self.watch(&statistics);
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
    use futures_util::FutureExt as _;
    use rdkafka::statistics::{Broker, ConsumerGroup};

    use super::*;

    #[test]
    fn a_member_outside_its_group_is_lost_after_a_minute() {
        let statistics = |broker: &str, join_state: &str| Statistics {
            brokers: [("1".to_owned(), Broker { state: broker.to_owned(), ..Broker::default() })]
                .into(),
            cgrp: Some(ConsumerGroup {
                join_state: join_state.to_owned(),
                ..ConsumerGroup::default()
            }),
            ..Statistics::default()
        };
        let lost = |rounds: &[(u32, &str, &str)]| {
            let lag = Lag::default();
            for (times, broker, join_state) in rounds {
                (0..*times).for_each(|_| lag.stats(statistics(broker, join_state)));
            }
            lag.lost.notified().now_or_never().is_some()
        };
        assert!(!lost(&[(100, "UP", "steady")]));
        assert!(!lost(&[(11, "UP", "init"), (1, "UP", "steady"), (11, "UP", "wait-join")]));
        assert!(!lost(&[(100, "TRY_CONNECT", "init")]), "there is no broker");
        assert!(lost(&[(3, "UP", "steady"), (12, "UP", "init")]));
    }

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
