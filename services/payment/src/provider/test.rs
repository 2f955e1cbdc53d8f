//! A provider for demos and tests. Its token says what happens; its books are durable, and it keeps
//! its word about idempotency keys, as a real one would.

use async_trait::async_trait;
use contracts::Money;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Charge, PaymentProvider, Refund, Unknown};
use crate::payment::Token;

/// Charges when told to by `tok_visa`; declines `tok_declined` (`card_declined`),
/// `tok_insufficient` (`insufficient_funds`) and what it does not know (`invalid_token`); charges
/// for `tok_timeout` and then never answers, until it is asked again.
#[derive(Clone, Debug)]
pub struct TestProvider(PgPool);

impl TestProvider {
    /// Its name.
    pub const NAME: &'static str = "test";

    /// A provider with its books in the schema `test_provider` of this database.
    pub fn new(pool: PgPool) -> Self {
        Self(pool)
    }
}

impl From<sqlx::Error> for Unknown {
    fn from(error: sqlx::Error) -> Self {
        Self::because(error)
    }
}

fn decline_reason(token: &Token) -> Option<&'static str> {
    match token.as_str() {
        "tok_visa" | "tok_timeout" => None,
        "tok_declined" => Some("card_declined"),
        "tok_insufficient" => Some("insufficient_funds"),
        _ => Some("invalid_token"),
    }
}

#[async_trait]
impl PaymentProvider for TestProvider {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn charge(&self, key: Uuid, amount: Money, token: &Token) -> Result<Charge, Unknown> {
        let reason = decline_reason(token);
        let reference = reason.is_none().then(|| format!("ch_{}", Uuid::now_v7().simple()));
        let noted = sqlx::query!(
            "INSERT INTO test_provider.charges
                 (idempotency_key, reference, decline_reason, amount, currency)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            key,
            reference,
            reason,
            amount.amount,
            amount.currency.as_str(),
        )
        .execute(&self.0)
        .await?;
        if noted.rows_affected() == 1 && token.as_str() == "tok_timeout" {
            return Err(Unknown::because("the provider did not answer in time"));
        }
        self.find(key).await?.ok_or_else(|| Unknown::because("the charge is not in the books"))
    }

    async fn refund(&self, key: Uuid, reference: &str, amount: Money) -> Result<Refund, Unknown> {
        let mut tx = self.0.begin().await?;
        let charged = sqlx::query_scalar!(
            "SELECT amount FROM test_provider.charges
             WHERE reference = $1 AND currency = $2 FOR UPDATE",
            reference,
            amount.currency.as_str(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let refused = |reason: &str| Ok(Refund::Refused { reason: reason.to_owned() });
        let Some(charged) = charged else {
            return refused("charge_unknown");
        };
        let books = sqlx::query!(
            r#"SELECT coalesce(sum(amount), 0)::bigint AS "refunded!",
                   max(reference) FILTER (WHERE idempotency_key = $2) AS earlier
               FROM test_provider.refunds WHERE charge_reference = $1"#,
            reference,
            key,
        )
        .fetch_one(&mut *tx)
        .await?;
        if let Some(reference) = books.earlier {
            return Ok(Refund::Done { reference });
        }
        if amount.amount > charged - books.refunded {
            return refused("amount_too_large");
        }
        let refund = format!("re_{}", Uuid::now_v7().simple());
        sqlx::query!(
            "INSERT INTO test_provider.refunds
                 (idempotency_key, charge_reference, reference, amount)
             VALUES ($1, $2, $3, $4)",
            key,
            reference,
            refund,
            amount.amount,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Refund::Done { reference: refund })
    }

    async fn find(&self, key: Uuid) -> Result<Option<Charge>, Unknown> {
        let charge = sqlx::query!(
            "SELECT reference, decline_reason FROM test_provider.charges
             WHERE idempotency_key = $1",
            key,
        )
        .fetch_optional(&self.0)
        .await?;
        Ok(charge.map(|charge| match charge.reference {
            Some(reference) => Charge::Captured { reference },
            None => Charge::Declined { reason: charge.decline_reason.unwrap_or_default() },
        }))
    }
}
