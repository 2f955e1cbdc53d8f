//! Workers that die, and workers that work at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use contracts::Money;
use kit::outbox::Outbox;
use payment::provider::{
    Charge, PaymentProvider, Providers, Refund, TestProvider, Unknown, Wanted,
};
use payment::worker::Worker;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::world::{
    cancelled, charged, done_at_the_provider, given_back, handle, quiet, refund, reserved, status,
    test_provider, told, worker,
};

/// Does what it is told, and answers when told to: before that, the worker that waits for it can be
/// killed, or overtaken.
struct Held {
    inner: TestProvider,
    done: Arc<Notify>,
    answer: Arc<Notify>,
}

impl Held {
    async fn hold<T>(&self, result: T) -> T {
        self.done.notify_one();
        self.answer.notified().await;
        result
    }
}

#[async_trait]
impl PaymentProvider for Held {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn charge(&self, wanted: &Wanted) -> Result<Charge, Unknown> {
        self.hold(self.inner.charge(wanted).await).await
    }

    async fn confirm(&self, key: Uuid, reference: &str) -> Result<Charge, Unknown> {
        self.hold(self.inner.confirm(key, reference).await).await
    }

    async fn cancel(&self, key: Uuid, reference: &str) -> Result<Charge, Unknown> {
        self.hold(self.inner.cancel(key, reference).await).await
    }

    async fn refund(&self, key: Uuid, reference: &str, amount: Money) -> Result<Refund, Unknown> {
        self.hold(self.inner.refund(key, reference, amount).await).await
    }

    async fn find(&self, key: Uuid, reference: Option<&str>) -> Result<Option<Charge>, Unknown> {
        let found = self.inner.find(key, reference).await;
        // A look before the charge is not what is waited for.
        if reference.is_none() { found } else { self.hold(found).await }
    }
}

/// A worker whose provider has done its part and has not answered yet.
struct Waiting {
    task: JoinHandle<Result<usize, sqlx::Error>>,
    answer: Arc<Notify>,
}

impl Waiting {
    async fn start(pool: &PgPool) -> Self {
        let (done, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let inner = test_provider(pool);
        let held = Held { inner, done: Arc::clone(&done), answer: Arc::clone(&answer) };
        let providers = Providers::default().with(held);
        let worker = Worker { pool: pool.clone(), outbox: Outbox::default(), providers };
        let task = tokio::spawn(async move { worker.round().await });
        done.notified().await;
        Self { task, answer }
    }
}

/// Runs a worker until its provider has done its part, and kills it.
async fn crash(pool: &PgPool) {
    let Waiting { task, .. } = Waiting::start(pool).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}

/// Lets the leases of dead workers run out; a webhook about a charge that waits does the same.
async fn outlive_leases(pool: &PgPool) {
    for table in ["payments", "refunds"] {
        let due = "next_attempt_at = now() WHERE status IN ('pending', 'requires_action')";
        let sql = format!("UPDATE {table} SET {due}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_crash_between_charge_and_commit_charges_once() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 900);
    handle(&pool, &order).await.unwrap();
    crash(&pool).await;
    assert_eq!(charged(&pool).await, (900, 1));
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("pending"));
    assert_eq!(worker(&pool).round().await.unwrap(), 0, "the lease of the dead one holds");

    outlive_leases(&pool).await;
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("captured"));
    assert_eq!(charged(&pool).await, (900, 1));
    assert_eq!(told(&pool, order.order_id, "payment.captured").await, 1);
}

#[tokio::test]
async fn a_crash_between_refund_and_commit_refunds_once() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 900);
    handle(&pool, &order).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    handle(&pool, &refund(&order, 900)).await.unwrap();
    crash(&pool).await;
    assert_eq!(given_back(&pool).await, (900, 1));

    outlive_leases(&pool).await;
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(given_back(&pool).await, (900, 1));
    assert_eq!(told(&pool, order.order_id, "payment.refunded").await, 1);
}

#[tokio::test]
async fn a_crash_while_a_shopper_confirms_charges_once() {
    let pool = quiet().await;
    let order = reserved("tok_action", 900);
    handle(&pool, &order).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("requires_action"));
    let confirm = async || {
        let mut connection = pool.acquire().await.unwrap();
        payment::db::confirm(&mut connection, order.order_id).await.unwrap()
    };
    assert!(confirm().await);
    crash(&pool).await;
    assert_eq!(charged(&pool).await, (900, 1));
    // The order ends before anybody knows.
    handle(&pool, &cancelled(&order)).await.unwrap();
    outlive_leases(&pool).await;
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("captured"));
    assert!(!confirm().await, "nothing waits any more");
    assert_eq!(charged(&pool).await, (900, 1));
    assert_eq!(told(&pool, order.order_id, "payment.captured").await, 1);
    assert_eq!(told(&pool, order.order_id, "payment.failed").await, 0);
}

/// A worker that was thought dead answers after another one has done its work.
#[tokio::test]
async fn two_workers_on_one_charge_tell_of_it_once() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 900);
    handle(&pool, &order).await.unwrap();
    let gate = Arc::new(Notify::new());
    let slow = Slow { inner: test_provider(&pool), gate: Arc::clone(&gate) };
    let providers = Providers::default().with(slow);
    let late = Worker { pool: pool.clone(), outbox: Outbox::default(), providers };
    let late = tokio::spawn(async move { late.round().await });
    kit::testing::eventually("the slow one has charged", async || {
        (charged(&pool).await == (900, 1)).then_some(())
    })
    .await;
    outlive_leases(&pool).await;
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    gate.notify_one();
    assert_eq!(late.await.unwrap().unwrap(), 1);
    assert_eq!(charged(&pool).await, (900, 1));
    assert_eq!(told(&pool, order.order_id, "payment.captured").await, 1);
}

/// Answers only when it is let.
struct Slow {
    inner: TestProvider,
    gate: Arc<Notify>,
}

#[async_trait]
impl PaymentProvider for Slow {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn charge(&self, wanted: &Wanted) -> Result<Charge, Unknown> {
        let charge = self.inner.charge(wanted).await;
        self.gate.notified().await;
        charge
    }

    async fn cancel(&self, key: Uuid, reference: &str) -> Result<Charge, Unknown> {
        self.inner.cancel(key, reference).await
    }

    async fn refund(&self, key: Uuid, reference: &str, amount: Money) -> Result<Refund, Unknown> {
        self.inner.refund(key, reference, amount).await
    }

    async fn find(&self, key: Uuid, reference: Option<&str>) -> Result<Option<Charge>, Unknown> {
        self.inner.find(key, reference).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_workers_charge_each_order_once() {
    let pool = quiet().await;
    let orders: Vec<_> = (0..20).map(|_| reserved("tok_visa", 10)).collect();
    for order in &orders {
        handle(&pool, order).await.unwrap();
    }
    let settled = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..5 {
        let (worker, settled) = (worker(&pool), Arc::clone(&settled));
        tasks.spawn(async move {
            loop {
                match worker.round().await.unwrap() {
                    0 => break,
                    count => settled.fetch_add(count, Ordering::SeqCst),
                };
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(settled.load(Ordering::SeqCst), 20, "no payment was taken twice");
    assert_eq!(charged(&pool).await, (200, 20));
    for order in &orders {
        assert_eq!(told(&pool, order.order_id, "payment.captured").await, 1);
    }
}

/// The provider has said that it waits still when the shopper is done, and its webhook comes before
/// the worker has noted that answer.
#[tokio::test]
async fn a_webhook_that_overtakes_an_answer_is_not_forgotten() {
    let pool = quiet().await;
    let order = reserved("tok_action", 900);
    handle(&pool, &order).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    outlive_leases(&pool).await;
    let slow = Waiting::start(&pool).await;
    done_at_the_provider(&pool).await;
    outlive_leases(&pool).await;
    slow.answer.notify_one();
    assert_eq!(slow.task.await.unwrap().unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("requires_action"));
    assert_eq!(worker(&pool).round().await.unwrap(), 1, "it is asked again at once");
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("captured"));
    assert_eq!(charged(&pool).await, (900, 1));
}
