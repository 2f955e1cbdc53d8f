//! Refunds.

use contracts::events::PaymentRefunded;
use kit::telemetry::chain;

use super::{Outcome, Worker, count, is_first, measured, pause};
use crate::db::{self, DueRefund, NOT_CONFIGURED};
use crate::provider::{Providers, Refund, Unknown};

/// The reference of a refund of nothing, which no provider needs to hear of.
const NOTHING: &str = "nothing";

impl Worker {
    pub(super) async fn attempt_refund(&self, due: &DueRefund) -> Result<(), sqlx::Error> {
        let (order_id, payment_id) = (due.order, due.payment);
        if due.amount.amount > 0 && !self.providers.has(&due.provider) {
            // Owed, so that it can go back by other means, and reopened when the provider is configured again.
            let provider = &due.provider;
            tracing::error!(%order_id, %payment_id, provider, "a refund's provider is not configured");
            let mut connection = self.pool.acquire().await?;
            return db::fail_refund(&mut connection, due.id, NOT_CONFIGURED).await.map(|_| ());
        }
        match ask(&self.providers, due).await {
            Ok(Refund::Done { reference }) => {
                let mut tx = self.pool.begin().await?;
                let total = db::finish_refund(&mut tx, due, &reference).await?;
                let amount = due.amount;
                let event = PaymentRefunded { order_id, payment_id, amount, refunded_total: total };
                self.tell(tx, total.is_some(), &due.provider, Outcome::Refunded, &event).await
            }
            Ok(Refund::Refused { reason }) => {
                // The money is still owed: it is asked for again, and staff finds it in the list.
                tracing::error!(%order_id, %payment_id, reason, "a refund was refused");
                let mut connection = self.pool.acquire().await?;
                if db::fail_refund(&mut connection, due.id, &reason).await? {
                    count(&due.provider, Outcome::RefundFailed);
                }
                Ok(())
            }
            Err(unknown) => {
                tracing::warn!(
                    %order_id, %payment_id, attempts = due.attempts, error = chain(&unknown),
                    "a refund is asked for again"
                );
                let mut connection = self.pool.acquire().await?;
                db::postpone_refund(&mut connection, due, pause(due.attempts)).await
            }
        }
    }
}

/// Asks the provider. An attempt that may not be the first looks first for what became of those before: providers forget
/// idempotency keys sooner than refunds.
async fn ask(providers: &Providers, due: &DueRefund) -> Result<Refund, Unknown> {
    if due.amount.amount == 0 {
        return Ok(Refund::Done { reference: NOTHING.to_owned() });
    }
    let provider = providers.get(&due.provider)?;
    if !is_first(due.attempts, due.age) {
        let found = provider.find_refund(due.key, &due.reference);
        if let Some(refund) = measured(provider, "find_refund", found).await? {
            return Ok(refund);
        }
    }
    let answer = provider.refund(due.key, &due.reference, due.amount);
    measured(provider, "refund", answer).await
}
