//! A shop that was restored from a backup, and a provider that goes on from where it was.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::OrderReserved;
use contracts::{Money, OrderId, UserId};
use kit::outbox::Outbox;
use kit::testing::{Running, eventually};
use kit::worker::Wake;
use payment::Payment;
use payment::provider::{
    BookedCharge, BookedRefund, BookedStatus, Charge, Page, PaymentProvider, Providers, Refund,
    TestProvider, Unknown, Wanted,
};
use payment::reconciliation::{Reconciliation, Report};
use payment::worker::Worker;
use sqlx::PgPool;
use sqlx::postgres::PgRow;
use sqlx::{FromRow as _, Row as _};
use uuid::Uuid;

use crate::world::{
    cancelled, charged, eur, given_back, handle, quiet, refund, reserved, status, test_provider,
    told, until,
};

/// A provider with books of its own, in pages of one entry. It has forgotten all idempotency keys.
#[derive(Clone)]
struct Elsewhere {
    books: PgPool,
    inner: TestProvider,
}

impl Elsewhere {
    async fn new() -> Self {
        let books = quiet().await;
        Self { inner: test_provider(&books), books }
    }

    /// The shop charged this after the backup.
    async fn has_charged(&self, key: Uuid, amount: i64) -> String {
        let token = "tok_visa".to_owned().try_into().unwrap();
        let (order, user) = (OrderId::new(), UserId::new());
        let wanted = Wanted { key, order, user, amount: eur(amount), token, customer: None };
        match self.inner.charge(&wanted).await.unwrap() {
            Charge::Captured { reference } => reference,
            other => panic!("{other:?}"),
        }
    }

    async fn page<T>(
        &self,
        sql: &'static str,
        since: DateTime<Utc>,
        after: Option<&str>,
        entry: impl Fn(&PgRow) -> T,
    ) -> Page<T> {
        let rows = sqlx::query(sql).bind(since).bind(after.unwrap_or_default());
        let rows = rows.fetch_all(&self.books).await.unwrap();
        let next = (rows.len() == 2).then(|| rows[0].get("reference"));
        Page { items: rows.iter().take(1).map(entry).collect(), next }
    }
}

#[async_trait]
impl PaymentProvider for Elsewhere {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn charge(&self, wanted: &Wanted) -> Result<Charge, Unknown> {
        self.inner.charge(&Wanted { key: Uuid::now_v7(), ..wanted.clone() }).await
    }

    async fn cancel(&self, key: Uuid, reference: &str) -> Result<Charge, Unknown> {
        self.inner.cancel(key, reference).await
    }

    async fn refund(&self, _key: Uuid, reference: &str, amount: Money) -> Result<Refund, Unknown> {
        self.inner.refund(Uuid::now_v7(), reference, amount).await
    }

    async fn find(&self, key: Uuid, reference: Option<&str>) -> Result<Option<Charge>, Unknown> {
        self.inner.find(key, reference).await
    }

    async fn find_refund(&self, key: Uuid, _reference: &str) -> Result<Option<Refund>, Unknown> {
        let sql = "SELECT reference FROM test_provider.refunds WHERE idempotency_key = $1";
        let found = sqlx::query_scalar(sql).bind(key).fetch_optional(&self.books).await?;
        Ok(found.map(|reference| Refund::Done { reference }))
    }

    async fn charges_since(
        &self,
        since: DateTime<Utc>,
        after: Option<&str>,
    ) -> Result<Page<BookedCharge>, Unknown> {
        let sql = "SELECT c.*, (SELECT coalesce(sum(amount), 0)::bigint FROM test_provider.refunds
                                WHERE charge_reference = c.reference) AS refunded
                   FROM test_provider.charges c
                   WHERE created_at >= $1 AND reference > $2 ORDER BY reference LIMIT 2";
        let entry = |row: &PgRow| BookedCharge {
            key: row.get("idempotency_key"),
            order: Some(Uuid::nil()),
            reference: row.get("reference"),
            status: BookedStatus::Captured,
            amount: eur(row.get("amount")),
            refunded: row.get("refunded"),
            created_at: row.get("created_at"),
        };
        Ok(self.page(sql, since, after, entry).await)
    }

    async fn refunds_since(
        &self,
        since: DateTime<Utc>,
        after: Option<&str>,
    ) -> Result<Page<BookedRefund>, Unknown> {
        let sql = "SELECT * FROM test_provider.refunds
                   WHERE created_at >= $1 AND reference > $2 ORDER BY reference LIMIT 2";
        let entry = |row: &PgRow| BookedRefund {
            key: Some(row.get("idempotency_key")),
            reference: row.get("reference"),
            charge: row.get("charge_reference"),
            amount: eur(row.get("amount")),
        };
        Ok(self.page(sql, since, after, entry).await)
    }
}

/// The shop, and the provider elsewhere.
struct Restored {
    pool: PgPool,
    provider: Elsewhere,
    worker: Worker,
}

impl Restored {
    async fn new() -> Self {
        let (pool, provider) = (quiet().await, Elsewhere::new().await);
        let providers = Providers::default().with(provider.clone());
        let worker = Worker { pool: pool.clone(), outbox: Outbox::default(), providers };
        Self { pool, provider, worker }
    }

    /// An order whose payment is in the backup, and the payment.
    async fn order(&self, amount: i64) -> (OrderReserved, Uuid) {
        let order = reserved("tok_visa", amount);
        handle(&self.pool, &order).await.unwrap();
        let id = "SELECT id FROM payments WHERE order_id = $1";
        let id = sqlx::query_scalar(id).bind(order.order_id.uuid()).fetch_one(&self.pool).await;
        (order, id.unwrap())
    }

    /// An order that is paid in the backup, and the provider's name for the charge.
    async fn paid(&self, amount: i64) -> (OrderReserved, String) {
        let (order, payment) = self.order(amount).await;
        assert_eq!(self.worker.round().await.unwrap(), 1);
        assert_eq!(self.status(&order).await, "captured");
        let reference = "SELECT provider_reference FROM payments WHERE id = $1";
        let reference = sqlx::query_scalar(reference).bind(payment).fetch_one(&self.pool).await;
        (order, reference.unwrap())
    }

    async fn status(&self, order: &OrderReserved) -> String {
        status(&self.pool, order.order_id).await.unwrap()
    }

    /// The backup was made so long ago.
    async fn age(&self, hours: f64) {
        for table in ["payments", "refunds"] {
            let sql =
                format!("UPDATE {table} SET created_at = now() - make_interval(hours => 1) * $1");
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(hours).execute(&self.pool).await.unwrap();
        }
    }

    async fn reconcile(&self) -> Report {
        let Worker { pool, outbox, providers } = &self.worker;
        let reconciliation = Reconciliation { pool, outbox, providers };
        reconciliation.since(Utc::now() - TimeDelta::minutes(5)).await.unwrap()
    }

    async fn refunds(&self) -> Vec<(String, i64, bool)> {
        let sql = "SELECT status, amount, owed FROM refunds ORDER BY created_at, id";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await.unwrap();
        rows.iter().map(|row| <(String, i64, bool)>::from_row(row).unwrap()).collect()
    }
}

#[tokio::test]
async fn captures_after_the_backup_are_not_made_again() {
    let shop = Restored::new().await;
    let (open, payment) = shop.order(100).await;
    let (ended, other) = shop.order(20).await;
    for (payment, amount) in [(payment, 100), (other, 20)] {
        shop.provider.has_charged(payment, amount).await;
    }
    // In the copy, its time is over.
    handle(&shop.pool, &cancelled(&ended)).await.unwrap();
    shop.age(48.0).await;
    for _ in 0..2 {
        assert_eq!(shop.worker.round().await.unwrap(), 1);
    }
    for order in [&open, &ended] {
        assert_eq!(shop.status(order).await, "captured");
        assert_eq!(told(&shop.pool, order.order_id, "payment.captured").await, 1);
    }
    assert_eq!(charged(&shop.provider.books).await, (120, 2));
}

#[tokio::test]
async fn refunds_after_the_backup_are_not_made_again() {
    let shop = Restored::new().await;
    let (order, reference) = shop.paid(100).await;
    handle(&shop.pool, &refund(&order, 30)).await.unwrap();
    let key: Uuid =
        sqlx::query_scalar("SELECT id FROM refunds").fetch_one(&shop.pool).await.unwrap();
    shop.provider.inner.refund(key, &reference, eur(30)).await.unwrap();
    shop.age(48.0).await;
    assert_eq!(shop.reconcile().await.refunds, 0, "the worker will find it");
    assert_eq!(shop.worker.round().await.unwrap(), 1);
    assert_eq!(shop.refunds().await, [("done".to_owned(), 30, true)]);
    assert_eq!(given_back(&shop.provider.books).await, (30, 1));
}

#[tokio::test]
async fn a_failed_payment_that_the_provider_has_captured_is_captured() {
    let shop = Restored::new().await;
    let (order, payment) = shop.order(100).await;
    handle(&shop.pool, &cancelled(&order)).await.unwrap();
    assert_eq!(shop.worker.round().await.unwrap(), 1);
    assert_eq!(shop.status(&order).await, "failed");
    shop.provider.has_charged(payment, 100).await;
    let report = shop.reconcile().await;
    assert_eq!((report.charges, report.captured), (1, 1), "{report}");
    assert_eq!(shop.status(&order).await, "captured");
    // The order has ended and asks for the money.
    assert!(told(&shop.pool, order.order_id, "payment.captured").await > 0);
    handle(&shop.pool, &refund(&order, 100)).await.unwrap();
    assert_eq!(shop.worker.round().await.unwrap(), 1);
    assert_eq!(given_back(&shop.provider.books).await, (100, 1));
    assert_eq!(shop.reconcile().await.captured, 0);
}

#[tokio::test]
async fn charges_of_unknown_orders_are_listed_until_the_money_has_gone_back() {
    let shop = Restored::new().await;
    let (_, known) = shop.paid(5).await;
    let reference = shop.provider.has_charged(Uuid::now_v7(), 1999).await;
    // In this shop, keys are the payments' ids.
    let key = "UPDATE test_provider.charges
               SET idempotency_key = (SELECT $2::uuid) WHERE reference = $1";
    let payment: Uuid =
        sqlx::query_scalar("SELECT id FROM payments").fetch_one(&shop.pool).await.unwrap();
    sqlx::query(key).bind(&known).bind(payment).execute(&shop.provider.books).await.unwrap();
    let report = shop.reconcile().await;
    assert_eq!((report.charges, report.captured, report.findings.len()), (2, 0, 1), "{report}");
    let text = report.to_string();
    for part in [&*reference, "19.99 EUR", "0.00 EUR refunded", "does not know its order"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(given_back(&shop.provider.books).await, (0, 0), "people decide");
    shop.provider.inner.refund(Uuid::now_v7(), &reference, eur(1999)).await.unwrap();
    assert_eq!(shop.reconcile().await.findings, [""; 0]);
}

#[tokio::test]
async fn a_second_charge_of_one_payment_is_listed() {
    let shop = Restored::new().await;
    let (_, _) = shop.paid(5).await;
    let payment: Uuid =
        sqlx::query_scalar("SELECT id FROM payments").fetch_one(&shop.pool).await.unwrap();
    let reference = shop.provider.has_charged(payment, 5).await;
    let report = shop.reconcile().await;
    let found = |line: &&String| line.contains(&reference) && line.contains("another charge");
    assert_eq!(report.findings.iter().filter(found).count(), 1, "{report}");
}

#[tokio::test]
async fn refunds_that_are_not_known_are_recorded_once_and_no_longer_owed() {
    let shop = Restored::new().await;
    let (order, reference) = shop.paid(100).await;
    // It was refused before the backup, and done under another key after it.
    let books = "UPDATE test_provider.charges SET amount = $1";
    sqlx::query(books).bind(10_i64).execute(&shop.provider.books).await.unwrap();
    handle(&shop.pool, &refund(&order, 30)).await.unwrap();
    assert_eq!(shop.worker.round().await.unwrap(), 1);
    assert_eq!(shop.refunds().await, [("failed".to_owned(), 30, true)]);
    sqlx::query(books).bind(100_i64).execute(&shop.provider.books).await.unwrap();
    shop.provider.inner.refund(Uuid::now_v7(), &reference, eur(30)).await.unwrap();
    for recorded in [1, 0] {
        assert_eq!(shop.reconcile().await.refunds, recorded);
        let refunds = [("failed".to_owned(), 30, false), ("done".to_owned(), 30, true)];
        assert_eq!(shop.refunds().await, refunds);
        assert_eq!(told(&shop.pool, order.order_id, "payment.refunded").await, 1);
    }
    let due = "UPDATE refunds SET next_attempt_at = now()";
    sqlx::query(due).execute(&shop.pool).await.unwrap();
    assert_eq!(shop.worker.reopen(&Wake::default()).await.unwrap(), 0, "nothing is owed");
    assert_eq!(given_back(&shop.provider.books).await, (30, 1));
}

#[tokio::test]
async fn a_restored_shop_compares_itself_before_it_owes_again() {
    let shop = Restored::new().await;
    let (order, reference) = shop.paid(100).await;
    shop.provider.inner.refund(Uuid::now_v7(), &reference, eur(100)).await.unwrap();
    handle(&shop.pool, &refund(&order, 100)).await.unwrap();
    let restored = "INSERT INTO restorations (backup, backup_at) VALUES ('b', now())";
    sqlx::query(restored).execute(&shop.pool).await.unwrap();
    assert_eq!(shop.worker.reconcile_restored().await.unwrap(), 0, "a refund is under way");
    // It is refused: nothing is left.
    assert_eq!(shop.worker.round().await.unwrap(), 1);
    let due = "UPDATE refunds SET next_attempt_at = now()";
    sqlx::query(due).execute(&shop.pool).await.unwrap();
    assert_eq!(shop.worker.reopen(&Wake::default()).await.unwrap(), 0, "not compared yet");
    assert_eq!(shop.worker.reconcile_restored().await.unwrap(), 1);
    let refunds = [("failed".to_owned(), 100, false), ("done".to_owned(), 100, true)];
    assert_eq!(shop.refunds().await, refunds);
    assert_eq!(shop.worker.reconcile_restored().await.unwrap(), 0, "once");
    assert_eq!(told(&shop.pool, order.order_id, "payment.refunded").await, 1);
}

#[tokio::test]
async fn a_restored_shop_publishes_outcomes_again_by_itself_and_on_request() {
    let mut running = Running::start::<Payment>(&[]).await;
    let (paid, declined) = (reserved("tok_visa", 10), reserved("tok_declined", 10));
    for (order, end) in [(&paid, "captured"), (&declined, "failed")] {
        running.publish(order).await;
        until(running.pool(), order.order_id, end).await;
    }
    let restored = "INSERT INTO restorations (backup, backup_at) VALUES ('b', now())";
    sqlx::query(restored).execute(running.pool()).await.unwrap();
    running.restart::<Payment>(&[]).await;
    eventually("payments were compared", async || {
        let compared = "SELECT reconciled_at IS NOT NULL FROM restorations";
        let compared = sqlx::query_scalar::<_, bool>(compared).fetch_one(running.pool()).await;
        compared.unwrap().then_some(())
    })
    .await;
    assert_eq!(told(running.pool(), paid.order_id, "payment.captured").await, 2);
    assert_eq!(told(running.pool(), declined.order_id, "payment.failed").await, 2);
    let report = running.command::<Payment>("reconcile").await.unwrap();
    assert!(report.contains("the outcome of 2 payments was published again"), "{report}");
    assert_eq!(told(running.pool(), paid.order_id, "payment.captured").await, 3);
}
