//! Store credit as a provider: what the shop owes a customer pays an order, and comes back. Its
//! books are our own ([`crate::db::ledger`]), but like anybody else's they are not part of the
//! transactions that payments are settled in.

use async_trait::async_trait;
use contracts::Money;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Charge, PaymentProvider, Refund, Unknown, Wanted};
use crate::db::ledger::{self, Cause};

/// Charges the customer's balance.
#[derive(Clone, Debug)]
pub struct CreditProvider(PgPool);

impl CreditProvider {
    /// Its name.
    pub const NAME: &'static str = "credit";

    /// A provider with its books in the schema `credit` of this database.
    pub fn new(pool: PgPool) -> Self {
        Self(pool)
    }
}

/// A worker that was slower than another finds the transaction of that one.
fn made_meanwhile(error: &sqlx::Error) -> bool {
    kit::postgres::violated(error) == Some("transactions_pkey")
}

#[async_trait]
impl PaymentProvider for CreditProvider {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn charge(&self, wanted: &Wanted) -> Result<Charge, Unknown> {
        if let Some(charge) = self.find(wanted.key, None).await? {
            return Ok(charge);
        }
        // Below zero on the customer's side: what is owed becomes less.
        let amount = Money::new(-wanted.amount.amount, wanted.amount.currency);
        let mut tx = self.0.begin().await?;
        let cause = Cause::Charge { order: wanted.order };
        match ledger::post(&mut tx, wanted.key, wanted.user, amount, cause).await {
            Ok(true) => tx.commit().await?,
            Ok(false) => return Ok(Charge::Declined { reason: "insufficient_funds".to_owned() }),
            Err(error) if made_meanwhile(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Charge::Captured { reference: wanted.key.to_string() })
    }

    async fn find(&self, key: Uuid, _reference: Option<&str>) -> Result<Option<Charge>, Unknown> {
        let posted = ledger::posted(&mut *self.0.acquire().await?, key).await?;
        Ok(posted.then(|| Charge::Captured { reference: key.to_string() }))
    }

    /// Nothing ever waits here.
    async fn cancel(&self, key: Uuid, reference: &str) -> Result<Charge, Unknown> {
        let found = self.find(key, Some(reference)).await?;
        Ok(found.unwrap_or_else(|| Charge::Declined { reason: "given_up".to_owned() }))
    }

    async fn refund(&self, key: Uuid, reference: &str, amount: Money) -> Result<Refund, Unknown> {
        let charge = reference.parse().map_err(Unknown::because)?;
        let mut tx = self.0.begin().await?;
        match give_back(&mut tx, key, charge, amount).await {
            Ok(None) => tx.commit().await?,
            Ok(Some(reason)) => return Ok(Refund::Refused { reason: reason.to_owned() }),
            Err(error) if made_meanwhile(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Refund::Done { reference: key.to_string() })
    }
}

/// Gives back, or says why not.
async fn give_back(
    tx: &mut PgConnection,
    key: Uuid,
    charge: Uuid,
    amount: Money,
) -> Result<Option<&'static str>, sqlx::Error> {
    if ledger::posted(tx, key).await? {
        return Ok(None);
    }
    let Some(charged) = ledger::charged(tx, charge, amount.currency).await? else {
        return Ok(Some("charge_unknown"));
    };
    // Somebody else may have been here while this one waited for the row.
    if ledger::posted(tx, key).await? {
        return Ok(None);
    }
    if amount.amount > charged.left {
        return Ok(Some("amount_too_large"));
    }
    ledger::post(tx, key, charged.user, amount, Cause::Refund { charge }).await?;
    Ok(None)
}
