//! A provider for demos and tests. Its token says what happens; its books are durable, and it keeps
//! its word about idempotency keys, as a real one would.

use async_trait::async_trait;
use contracts::{Money, UserId};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Charge, Kept, PaymentProvider, Refund, Unknown, Wanted};
use crate::payment::Token;

/// Charges when told to by `tok_visa`; declines `tok_declined` (`card_declined`),
/// `tok_insufficient` (`insufficient_funds`) and what it does not know (`invalid_token`); charges
/// for `tok_timeout` and then never answers, until it is asked again. `tok_action` and
/// `tok_action_declined` want the shopper to confirm first; the former is charged then, the latter
/// declined (`authentication_failed`).
#[derive(Clone, Debug)]
pub struct TestProvider {
    pool: PgPool,
    public_url: String,
}

impl TestProvider {
    /// Its name.
    pub const NAME: &'static str = "test";

    /// A provider with its books in the schema `test_provider` of this database. It has no pages:
    /// shoppers confirm at the shop itself, whose address this is.
    pub fn new(pool: PgPool, public_url: &str) -> Self {
        Self { pool, public_url: public_url.to_owned() }
    }
}

impl From<sqlx::Error> for Unknown {
    fn from(error: sqlx::Error) -> Self {
        Self::because(error)
    }
}

/// What a token does.
enum Script {
    Charge,
    Decline(&'static str),
    /// Asks first; then charges, or declines for this reason.
    Ask(Option<&'static str>),
}

fn script(token: &Token) -> Script {
    match token.as_str() {
        "tok_visa" | "tok_timeout" => Script::Charge,
        "tok_declined" => Script::Decline("card_declined"),
        "tok_insufficient" => Script::Decline("insufficient_funds"),
        "tok_action" => Script::Ask(None),
        "tok_action_declined" => Script::Ask(Some("authentication_failed")),
        _ => Script::Decline("invalid_token"),
    }
}

fn new_reference() -> String {
    format!("ch_{}", Uuid::now_v7().simple())
}

#[async_trait]
impl PaymentProvider for TestProvider {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn charge(&self, wanted: &Wanted) -> Result<Charge, Unknown> {
        let script = script(&wanted.token);
        let (reference, reason) = match script {
            Script::Charge => (Some(new_reference()), None),
            Script::Decline(reason) => (None, Some(reason)),
            Script::Ask(_) => (None, None),
        };
        let then = if let Script::Ask(then) = script { then } else { None };
        let url = matches!(script, Script::Ask(_))
            .then(|| format!("{}/api/v1/payments/{}/confirm", self.public_url, wanted.order));
        let noted = sqlx::query!(
            "INSERT INTO test_provider.charges
                 (idempotency_key, reference, decline_reason, amount, currency, action_url,
                  declines_then)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            wanted.key,
            reference,
            reason,
            wanted.amount.amount,
            wanted.amount.currency.as_str(),
            url,
            then,
        )
        .execute(&self.pool)
        .await?;
        if noted.rows_affected() == 1 && wanted.token.as_str() == "tok_timeout" {
            return Err(Unknown::because("the provider did not answer in time"));
        }
        let found = self.find(wanted.key, None).await?;
        found.ok_or_else(|| Unknown::because("the charge is not in the books"))
    }

    async fn confirm(&self, key: Uuid, _reference: &str) -> Result<Charge, Unknown> {
        sqlx::query!(
            "UPDATE test_provider.charges
             SET decline_reason = declines_then,
                 reference = CASE WHEN declines_then IS NULL THEN $2 END
             WHERE idempotency_key = $1 AND reference IS NULL AND decline_reason IS NULL",
            key,
            new_reference(),
        )
        .execute(&self.pool)
        .await?;
        let found = self.find(key, None).await?;
        found.ok_or_else(|| Unknown::because("the charge is not in the books"))
    }

    async fn cancel(&self, key: Uuid, _reference: &str) -> Result<Charge, Unknown> {
        sqlx::query!(
            "UPDATE test_provider.charges SET decline_reason = 'given_up'
             WHERE idempotency_key = $1 AND reference IS NULL AND decline_reason IS NULL",
            key,
        )
        .execute(&self.pool)
        .await?;
        let found = self.find(key, None).await?;
        found.ok_or_else(|| Unknown::because("the charge is not in the books"))
    }

    async fn refund(&self, key: Uuid, reference: &str, amount: Money) -> Result<Refund, Unknown> {
        let mut tx = self.pool.begin().await?;
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

    async fn find(&self, key: Uuid, _reference: Option<&str>) -> Result<Option<Charge>, Unknown> {
        let charge = sqlx::query!(
            "SELECT reference, decline_reason, action_url FROM test_provider.charges
             WHERE idempotency_key = $1",
            key,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(charge.map(|charge| match (charge.reference, charge.decline_reason) {
            (Some(reference), _) => Charge::Captured { reference },
            (None, Some(reason)) => Charge::Declined { reason },
            (None, None) => Charge::ActionRequired {
                reference: format!("act_{}", key.simple()),
                url: charge.action_url.unwrap_or_default(),
            },
        }))
    }

    async fn keep(&self, _user: UserId, token: &Token) -> Result<Option<Kept>, Unknown> {
        let known = !matches!(script(token), Script::Decline("invalid_token"));
        Ok(known.then(|| Kept { brand: "visa".into(), last4: "4242".into(), customer: None }))
    }
}
