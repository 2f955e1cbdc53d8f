//! Whether what pods have measured keeps to the thresholds. Counters only, hence no floats.

use crate::crd::{PodCounters, RolloutReason};
use crate::validate::Thresholds;

/// What the figures say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is kept to.
    Good,
    /// There are too few to say.
    Open,
    /// Something is not, and what.
    Bad(RolloutReason, String),
}

/// Judges what was counted since `before`.
pub fn judge(thresholds: &Thresholds, before: &[PodCounters], now: &[PodCounters]) -> Verdict {
    let sum = |of: fn(&PodCounters) -> i64| -> i64 {
        now.iter().map(|pod| of(&since(before, pod))).fold(0, i64::saturating_add)
    };
    let (requests, failures, slow) = (sum(|c| c.requests), sum(|c| c.failures), sum(|c| c.slow));
    if requests < i64::from(thresholds.requests.max(1)) {
        return Verdict::Open;
    }
    let exceeds = |part: i64, allowed: i32| {
        i128::from(part) * 100 > i128::from(requests) * i128::from(allowed)
    };
    if exceeds(failures, 100 - thresholds.success_percent) {
        let least = thresholds.success_percent;
        let message = format!("{failures} of {requests} requests failed, {least} percent must not");
        return Verdict::Bad(RolloutReason::TooManyFailures, message);
    }
    if exceeds(slow, 100 - thresholds.latency_percentile) {
        let (part, limit) = (thresholds.latency_percentile, thresholds.latency_milliseconds);
        let message = format!(
            "{slow} of {requests} requests took longer than {limit} ms, {part} percent must not"
        );
        return Verdict::Bad(RolloutReason::TooSlow, message);
    }
    Verdict::Good
}

/// What a pod has counted since then. A counter that has fallen began anew, as a container does.
fn since(before: &[PodCounters], now: &PodCounters) -> PodCounters {
    let known = before.iter().find(|old| old.pod == now.pod);
    let known = known.filter(|old| {
        old.requests <= now.requests && old.failures <= now.failures && old.slow <= now.slow
    });
    known.map_or_else(
        || now.clone(),
        |old| PodCounters {
            pod: now.pod.clone(),
            requests: now.requests - old.requests,
            failures: now.failures - old.failures,
            slow: now.slow - old.slow,
        },
    )
}
