//! Charges, and those that wait for the shopper.

use std::time::Duration;

use contracts::events::{PaymentActionRequired, PaymentCaptured, PaymentFailed};
use kit::telemetry::chain;

use super::{Outcome, WAITING, Worker, is_first, measured, pause};
use crate::db::{self, DueCharge, Stage};
use crate::events::INVALID_TOKEN;
use crate::provider::{Charge, PaymentProvider, Unknown, Wanted};

/// Why a payment fails whose order has ended.
const GIVEN_UP: &str = "order_ended";

/// That a charge which is not captured yet is not to be made.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Why.
    reason: &'static str,
    /// How long ago the last attempt may have been.
    since: Duration,
}

impl Worker {
    /// Whether a charge is not to be made: its order has ended, or its provider takes no new charges any more.
    fn end(&self, due: &DueCharge) -> Option<End> {
        let ended = due.given_up.map(|since| End { reason: GIVEN_UP, since });
        let closed = self.providers.open(&due.provider).is_none();
        ended.or(closed.then_some(End { reason: INVALID_TOKEN, since: due.age }))
    }

    pub(super) async fn attempt_charge(&self, due: &DueCharge) -> Result<(), sqlx::Error> {
        let outcome = match self.providers.get(&due.provider) {
            Ok(provider) => ask(provider, due, self.end(due)).await,
            Err(unknown) => Err(unknown),
        };
        match outcome {
            Ok(charge) => self.settle(due, charge).await,
            Err(unknown) => {
                tracing::warn!(
                    order_id = %due.order, payment_id = %due.id, attempts = due.attempts,
                    error = chain(&unknown), "a charge is asked about again"
                );
                let mut connection = self.pool.acquire().await?;
                db::postpone_charge(&mut connection, due, pause(due.attempts)).await
            }
        }
    }

    async fn settle(&self, due: &DueCharge, charge: Charge) -> Result<(), sqlx::Error> {
        let (order_id, payment_id, user_id) = (due.order, due.id, due.user);
        let mut tx = self.pool.begin().await?;
        match charge {
            Charge::Captured { reference } => {
                let new = db::capture(&mut tx, due.id, &reference).await?;
                let event = PaymentCaptured { order_id, payment_id, amount: due.amount };
                self.tell(tx, new, &due.provider, Outcome::Captured, &event).await
            }
            Charge::Declined { reason } => {
                let new = db::fail(&mut tx, due.id, &reason).await?;
                let event = PaymentFailed { order_id, payment_id, reason };
                self.tell(tx, new, &due.provider, Outcome::Failed, &event).await
            }
            Charge::ActionRequired { reference, url } => {
                let new = db::wait(&mut tx, due, &reference, &url, WAITING).await?;
                if !new {
                    return tx.commit().await;
                }
                let event = PaymentActionRequired { order_id, payment_id, user_id, url };
                self.tell(tx, new, &due.provider, Outcome::ActionRequired, &event).await
            }
        }
    }
}

/// Asks the provider for what is due.
async fn ask(
    provider: &dyn PaymentProvider,
    due: &DueCharge,
    end: Option<End>,
) -> Result<Charge, Unknown> {
    let key = due.id.uuid();
    let ended = |end: End| Charge::Declined { reason: end.reason.to_owned() };
    match (&due.stage, end) {
        // The provider has never heard of it.
        (Stage::Charge(_), Some(end)) if is_first(due.attempts, due.age) => Ok(ended(end)),
        (Stage::Charge(_), Some(end)) => {
            let found = measured(provider, "find", provider.find(key, None)).await?;
            match found {
                Some(charge) => Ok(charge),
                None if end.since >= provider.finds_after() => Ok(ended(end)),
                None => Err(Unknown::because("it is not to be charged, and may still be found")),
            }
        }
        (Stage::Charge(token), None) => {
            let (user, customer) = (due.user, due.customer.clone());
            let (order, amount, token) = (due.order, due.amount, token.clone());
            charge(provider, due, &Wanted { key, order, user, amount, token, customer }).await
        }
        (Stage::Waiting { reference, .. }, Some(end)) => {
            let answer = measured(provider, "cancel", provider.cancel(key, reference)).await?;
            Ok(match answer {
                // Ours is the better reason.
                Charge::Declined { .. } => ended(end),
                other => other,
            })
        }
        (Stage::Waiting { reference, confirmed: true }, None) => {
            measured(provider, "confirm", provider.confirm(key, reference)).await
        }
        (Stage::Waiting { reference, confirmed: false }, None) => {
            let found = measured(provider, "find", provider.find(key, Some(reference))).await?;
            found.ok_or_else(|| Unknown::because("the charge that waits is not in the books"))
        }
    }
}

/// Charges. An attempt that may not be the first looks first for what became of those before: providers
/// forget idempotency keys sooner than charges.
async fn charge(
    provider: &dyn PaymentProvider,
    due: &DueCharge,
    wanted: &Wanted,
) -> Result<Charge, Unknown> {
    if !is_first(due.attempts, due.age) {
        let found = measured(provider, "find", provider.find(wanted.key, None)).await?;
        if let Some(charge) = found {
            return Ok(charge);
        }
    }
    measured(provider, "charge", provider.charge(wanted)).await
}
