//! Every probe of every container, once a second: what leaks at a probe is visible after minutes.

use std::time::Duration;

use e2e::probes::Probe;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Running;

/// Between two probes of a container.
const PERIOD: Duration = Duration::from_secs(1);
/// For one probe.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a hundred probes so many may fail.
const MAX_FAILED_PERCENT: u32 = 2;

/// Probes until stopped; says then which have failed too often.
pub(super) fn start(probes: Vec<Probe>) -> Running<Vec<String>> {
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(async move {
        let running: Vec<_> =
            probes.into_iter().map(|probe| tokio::spawn(repeat(probe, stopped.clone()))).collect();
        let mut failed = Vec::new();
        for probe in running {
            failed.extend(probe.await?);
        }
        Ok(failed)
    });
    Running { stop, task }
}

async fn repeat(probe: Probe, mut stopped: watch::Receiver<bool>) -> Option<String> {
    let (mut all, mut failed) = (0_u32, 0_u32);
    let mut clock = interval(PERIOD);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = clock.tick() => {}
        }
        all += 1;
        if !matches!(timeout(TIMEOUT, probe.send(1)).await, Ok(Ok(0))) {
            failed += 1;
        }
    }
    let many = failed * 100 > all * MAX_FAILED_PERCENT;
    many.then(|| format!("{}: {failed} of {all} probes failed", probe.name))
}
