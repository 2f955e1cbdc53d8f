//! New versions of services beside the old ones, and which requests they get.
//!
//! The operator writes the shares into a file and changes it while we run. Whatever is wrong with the file, the old
//! versions get every request: they are known to work.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use contracts::weights::Weights;
use kit::metric;
use prometheus::{GaugeVec, IntCounterVec};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::proxy::Base;
use crate::routes::Upstream;

/// How often the file is read.
const READ: Duration = Duration::from_secs(1);

static WEIGHT: LazyLock<GaugeVec> = metric!(
    gauge,
    "gateway_canary_weight_percent",
    "Share of the requests for a service that its new version gets.",
    &["upstream"]
);
static SENT: LazyLock<IntCounterVec> = metric!(
    counter,
    "gateway_canary_requests_total",
    "Requests that were sent to the new version of a service, by service.",
    &["upstream"]
);

/// The new version of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Canary {
    percent: u8,
    base: Base,
}

/// The services of which there are two versions.
#[derive(Debug)]
pub struct Canaries {
    now: RwLock<HashMap<Upstream, Canary>>,
    turns: HashMap<Upstream, AtomicU64>,
}

impl Default for Canaries {
    fn default() -> Self {
        let turns = Upstream::ALL.into_iter().map(|upstream| (upstream, AtomicU64::new(0)));
        Self { now: RwLock::default(), turns: turns.collect() }
    }
}

impl Canaries {
    /// Where the new version of a service is, if it is its turn.
    pub fn pick(&self, upstream: Upstream) -> Option<Base> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        let canary = now.get(&upstream)?;
        let turn = self.turns.get(&upstream)?.fetch_add(1, Ordering::Relaxed);
        if !is_turn(turn, canary.percent) {
            return None;
        }
        SENT.with_label_values(&[upstream.name()]).inc();
        Some(canary.base.clone())
    }

    /// Takes over what the file says now.
    pub async fn read(&self, file: &Path) {
        let found = read(file).await;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if *now == found {
            return;
        }
        for upstream in now.keys().chain(found.keys()) {
            let percent = found.get(upstream).map_or(0, |canary| canary.percent);
            WEIGHT.with_label_values(&[upstream.name()]).set(percent.into());
        }
        tracing::info!(?found, "requests are shared anew");
        *now = found;
    }

    /// Reads the file again and again, until `stop`.
    pub async fn follow(
        self: Arc<Self>,
        file: PathBuf,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut tick = interval(READ);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.read(&file).await;
        }
        Ok(())
    }
}

/// What a file says, as far as it makes sense.
async fn read(file: &Path) -> HashMap<Upstream, Canary> {
    // A shop that has no second version of anything may have no file either.
    let Ok(text) = tokio::fs::read(file).await else { return HashMap::new() };
    let weights: Weights = match serde_json::from_slice(&text) {
        Ok(weights) => weights,
        Err(error) => {
            tracing::warn!(%error, "weights cannot be read");
            return HashMap::new();
        }
    };
    let canary = |(service, weight): (String, contracts::weights::Weight)| {
        let upstream = Upstream::parse(&service)?;
        let base = weight.url.parse().ok()?;
        Some((upstream, Canary { percent: weight.percent.min(100), base }))
    };
    weights.into_iter().filter_map(canary).filter(|(_, canary)| canary.percent > 0).collect()
}

/// Whether this turn is one of the `percent` of any hundred in a row that the new version gets: as many exactly, and
/// as far apart as they can be.
fn is_turn(turn: u64, percent: u8) -> bool {
    let share = |turns: u64| turns * u64::from(percent) / 100;
    let turn = turn % 100;
    share(turn + 1) > share(turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_hundred_requests_in_a_row_are_shared_exactly() {
        for percent in 0..=100 {
            for begin in [0, 1, 37, 99, u64::MAX - 300] {
                let turns = (begin..begin + 100).filter(|turn| is_turn(*turn, percent)).count();
                assert_eq!(turns, usize::from(percent), "{percent} percent from {begin}");
            }
        }
    }

    #[test]
    fn turns_are_spread() {
        let turns: Vec<u64> = (0..100).filter(|turn| is_turn(*turn, 25)).collect();
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == 4), "{turns:?}");
    }
}
