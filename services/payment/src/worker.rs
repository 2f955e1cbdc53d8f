//! Charges and gives back. A worker takes one payment for a limited time, calls the provider
//! outside of any transaction, and stores the answer together with the event that tells of it.
//! One that dies in between loses nothing: another asks again with the same key.

mod charges;
mod lanes;
mod owed;
mod reconciliation;
mod refunds;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use contracts::events::Event;
use kit::metric;
use kit::outbox::Outbox;
use kit::telemetry::{chain, continue_traceparent};
use kit::worker::Wake;
use prometheus::{HistogramVec, IntCounterVec};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use self::lanes::{Lanes, Place};
use crate::db::{self, DueCharge, DueRefund};
use crate::provider::{PaymentProvider, Providers, Unknown};

/// How long a provider may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a payment belongs to the worker that has taken it: two calls and some time to store.
const LEASE: Duration = Duration::from_secs(30);
/// Pause after the first attempt of unknown outcome; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// What is due later than in twice this time is due: see [`db::lease_charge`].
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// What is older may have been done at the provider though the shop does not know: a shop that was restored from a backup
/// does not know of attempts after it, and providers forget idempotency keys after a day.
const FRESH: Duration = Duration::from_mins(5);
/// How often to ask about a charge that waits for the shopper: the provider's webhook may be lost,
/// or there may be none.
const WAITING: Duration = Duration::from_mins(1);
/// How often to look for payments that nobody has told of.
const POLL: Duration = Duration::from_secs(2);
/// How often old webhooks are forgotten.
const FORGET: Duration = Duration::from_hours(1);
/// Charges and refunds of one provider at the same time. None waits for another, nor for another provider's.
const CHARGES: usize = 8;
const REFUNDS: usize = 2;

static PAYMENTS: LazyLock<IntCounterVec> = metric!(
    counter,
    "payments_total",
    "Charges and refunds that were settled, or wait for the shopper, by provider and outcome.",
    &["provider", "outcome"]
);
static CALLS: LazyLock<HistogramVec> = metric!(
    seconds,
    "payment_provider_call_duration_seconds",
    "Duration of calls to payment providers.",
    &["provider", "operation", "outcome"]
);

/// How a charge or a refund has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Captured,
    ActionRequired,
    Failed,
    Refunded,
    RefundFailed,
}

/// Counts a charge or refund that has ended.
pub(crate) fn count(provider: &str, outcome: Outcome) {
    let outcome = match outcome {
        Outcome::Captured => "captured",
        Outcome::ActionRequired => "action_required",
        Outcome::Failed => "failed",
        Outcome::Refunded => "refunded",
        Outcome::RefundFailed => "refund_failed",
    };
    PAYMENTS.with_label_values(&[provider, outcome]).inc();
}

/// Does what the events have asked for.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Where payments are.
    pub pool: PgPool,
    /// Where events of payments go.
    pub outbox: Outbox,
    /// Who moves the money.
    pub providers: Providers,
}

impl Worker {
    /// Works until told to stop.
    pub async fn run(self, wake: Wake, stop: CancellationToken) {
        let lanes = [CHARGES, REFUNDS].map(|width| Lanes::new(self.providers.names(), width));
        let (lanes, tasks) = (Arc::new(lanes), TaskTracker::new());
        let dispatch = || {
            let (worker, lanes) = (self.clone(), Arc::clone(&lanes));
            let (tasks, wake) = (tasks.clone(), wake.clone());
            async move { worker.dispatch(&lanes, &tasks, &wake).await }
        };
        let (webhooks, owed, restored) = (Wake::default(), Wake::default(), Wake::default());
        let reconcile = || self.reconcile_restored();
        restored.wake();
        let forget = || async { db::webhooks::forget(&self.pool).await.map(|()| 0) };
        let reopen = || self.reopen(&wake);
        tokio::join!(
            wake.run("payments", POLL, &stop, dispatch),
            webhooks.run("webhooks", FORGET, &stop, forget),
            owed.run("owed", owed::POLL, &stop, reopen),
            restored.run("reconciliation", reconciliation::POLL, &stop, reconcile),
        );
        tasks.close();
        tasks.wait().await;
    }

    /// Begins with one charge and one refund, if they are due and their providers have room; says how many there were.
    async fn dispatch(
        &self,
        [charges, refunds]: &[Lanes; 2],
        tasks: &TaskTracker,
        wake: &Wake,
    ) -> Result<usize, sqlx::Error> {
        let charge = self.lease_charge(&charges.full()).await?;
        let found = usize::from(charge.is_some());
        if let Some(due) = charge {
            let (worker, place) = (self.clone(), charges.enter(&due.provider, wake));
            tasks.spawn(async move { stored(worker.charge(&due).await, place) });
        }
        let refund = self.lease_refund(&refunds.full()).await?;
        let found = found + usize::from(refund.is_some());
        if let Some(due) = refund {
            let (worker, place) = (self.clone(), refunds.enter(&due.provider, wake));
            tasks.spawn(async move { stored(worker.refund(&due).await, place) });
        }
        Ok(found)
    }

    /// Sees to one charge and one refund, if they are due; says how many there were.
    pub async fn round(&self) -> Result<usize, sqlx::Error> {
        let charge = self.lease_charge(&[]).await?;
        if let Some(due) = &charge {
            self.charge(due).await?;
        }
        let refund = self.lease_refund(&[]).await?;
        if let Some(due) = &refund {
            self.refund(due).await?;
        }
        Ok(usize::from(charge.is_some()) + usize::from(refund.is_some()))
    }

    async fn lease_charge(&self, busy: &[String]) -> Result<Option<DueCharge>, sqlx::Error> {
        db::lease_charge(&mut *self.pool.acquire().await?, LEASE, busy).await
    }

    async fn lease_refund(&self, busy: &[String]) -> Result<Option<DueRefund>, sqlx::Error> {
        db::lease_refund(&mut *self.pool.acquire().await?, LEASE, busy).await
    }

    async fn charge(&self, due: &DueCharge) -> Result<(), sqlx::Error> {
        let span = span("charge", &due.provider, due.traceparent.as_deref());
        self.attempt_charge(due).instrument(span).await
    }

    async fn refund(&self, due: &DueRefund) -> Result<(), sqlx::Error> {
        let span = span("refund", &due.provider, due.traceparent.as_deref());
        self.attempt_refund(due).instrument(span).await
    }

    /// Commits what is new together with the event that tells of it.
    async fn tell(
        &self,
        mut tx: sqlx::PgTransaction<'_>,
        new: bool,
        provider: &str,
        outcome: Outcome,
        event: &impl Event,
    ) -> Result<(), sqlx::Error> {
        if new {
            self.outbox.append(&mut tx, event).await?;
            tx.commit().await?;
            count(provider, outcome);
        }
        Ok(())
    }
}

/// An attempt has ended. What could not be stored is asked for again when its lease has run out.
fn stored(result: Result<(), sqlx::Error>, place: Option<Place>) {
    if let Err(error) = result {
        tracing::warn!(error = chain(&error), "an attempt could not be stored");
    }
    drop(place);
}

/// An attempt, as a part of the trace that the payment was asked for in.
fn span(operation: &str, provider: &str, traceparent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "attempt",
        otel.name = operation,
        payment.provider = provider,
        trace_id = Empty,
    );
    continue_traceparent(&span, traceparent);
    span
}

/// Waits for a provider's answer, but not for ever.
pub(crate) async fn measured<T>(
    provider: &dyn PaymentProvider,
    operation: &str,
    call: impl Future<Output = Result<T, Unknown>>,
) -> Result<T, Unknown> {
    let begun = Instant::now();
    let answer = tokio::time::timeout(CALL_TIMEOUT, call).await;
    let answer = answer.unwrap_or_else(|late| Err(Unknown::because(late)));
    let outcome = if answer.is_ok() { "answered" } else { "unknown" };
    CALLS
        .with_label_values(&[provider.name(), operation, outcome])
        .observe(begun.elapsed().as_secs_f64());
    answer
}

/// Whether the provider cannot have heard of it before.
fn is_first(attempts: i32, age: Duration) -> bool {
    attempts == 1 && age < FRESH
}

fn pause(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0);
    let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses = [1, 2, 3, 8, 9, 40, i32::MAX].map(|attempts| pause(attempts).as_millis());
        assert_eq!(pauses, [500, 1000, 2000, 60_000, 60_000, 60_000, 60_000]);
    }
}
