//! After a restoration: what happened after the backup is taken over from providers, once.

use std::time::Duration;

use kit::restorations;

use super::Worker;
use crate::provider::Unknown;
use crate::reconciliation::Reconciliation;

/// How often to look whether there was a restoration, and to try again while a provider is away.
pub(super) const POLL: Duration = Duration::from_mins(1);

impl Worker {
    /// Compares with providers if the database was restored and has not been compared since. Says whether it was.
    pub async fn reconcile_restored(&self) -> Result<usize, Unknown> {
        let unreconciled = restorations::unreconciled(&mut *self.pool.acquire().await?).await?;
        let Some(backup) = unreconciled else { return Ok(0) };
        let Self { pool, outbox, providers } = self;
        let report = Reconciliation { pool, outbox, providers }.since(backup).await?;
        for finding in &report.findings {
            tracing::error!(finding, "a charge after the backup needs a decision");
        }
        let (captured, refunds, busy) = (report.captured, report.refunds, report.busy.len());
        tracing::warn!(%backup, captured, refunds, busy, "restored payments were compared");
        if busy > 0 {
            return Ok(0);
        }
        restorations::mark_reconciled(&mut *self.pool.acquire().await?).await?;
        Ok(1)
    }
}
