//! The reconciler of money that is owed: a refund that has failed is asked for again, ever more rarely, until it is done.

use std::sync::LazyLock;
use std::time::Duration;

use kit::metric;
use kit::restorations;
use kit::worker::Wake;
use prometheus::{Gauge, GaugeVec};

use super::Worker;
use crate::db;
use crate::provider::NAMES;

/// Stands for every provider that this version does not know: labels of metrics are bounded.
const OTHER: &str = "other";
/// How often to look for what is due.
pub(super) const POLL: Duration = Duration::from_secs(5);

static OWED: LazyLock<Gauge> =
    metric!(gauge, "payment_refunds_owed", "Refunds that were asked for and are not done.");
static OLDEST: LazyLock<Gauge> = metric!(
    gauge,
    "payment_refunds_owed_oldest_seconds",
    "Age of the oldest refund that was asked for and is not done."
);

static WITHOUT_PROVIDER: LazyLock<GaugeVec> = metric!(
    gauge,
    "payment_provider_missing_oldest_seconds",
    "Age of the oldest charge or refund that waits for a provider which is not configured.",
    &["provider"]
);

static DISPUTES: LazyLock<GaugeVec> = metric!(
    gauge,
    "payment_disputes_open",
    "Charges that a shopper's bank wants back, by whether staff has answered.",
    &["answered"]
);

impl Worker {
    /// Publishes a refund that the order does not know of, makes one pending again that has failed and is due, and measures
    /// what is owed. Says how many were found.
    pub async fn reopen(&self, wake: &Wake) -> Result<usize, sqlx::Error> {
        let published = self.publish_request().await?;
        // What has gone back already after the backup is not asked for under another key.
        let restored = restorations::unreconciled(&mut *self.pool.acquire().await?).await?;
        let configured = self.configured();
        let reopened = restored.is_none() && db::reopen_refund(&self.pool, &configured).await?;
        if reopened {
            wake.wake();
        }
        self.measure(&configured).await?;
        Ok(usize::from(published) + usize::from(reopened))
    }

    async fn publish_request(&self) -> Result<bool, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let Some(event) = db::unpublished_request(&mut tx).await? else { return Ok(false) };
        self.outbox.append(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(true)
    }

    fn configured(&self) -> Vec<String> {
        self.providers.names().map(str::to_owned).collect()
    }

    async fn measure(&self, configured: &[String]) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let (count, age) = db::owed_figures(&mut connection).await?;
        OWED.set(as_figure(count));
        OLDEST.set(age);
        let waiting = db::oldest_without_provider(&mut connection, configured).await?;
        // Each is set, those that nothing waits for too: an alert has to end.
        for name in NAMES.into_iter().chain([OTHER]) {
            let of = |found: &str| found == name || name == OTHER && !NAMES.contains(&found);
            let ages = waiting.iter().filter(|(provider, _)| of(provider)).map(|(_, age)| *age);
            WITHOUT_PROVIDER.with_label_values(&[name]).set(ages.fold(0.0, f64::max));
        }
        let (unanswered, answered) = db::disputes::open(&mut connection).await?;
        DISPUTES.with_label_values(&["false"]).set(as_figure(unanswered));
        DISPUTES.with_label_values(&["true"]).set(as_figure(answered));
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "nothing comes near 2^52")]
fn as_figure(count: i64) -> f64 {
    count as f64
}
