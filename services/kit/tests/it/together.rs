//! Events that share a transaction, through the real Kafka into the real Postgres.

use std::borrow::Cow;
use std::sync::LazyLock;

use async_trait::async_trait;
use contracts::events::ReviewPosted;
use contracts::topics::Aggregate;
use contracts::{EventId, ProductId, ReviewId};
use kit::config::{Env, FromEnv};
use kit::inbox::{Delivery, Handle, Inbox, Lock};
use kit::kafka::{self, Producer};
use kit::subscription::{HandlerError, Subscription, Taken};
use kit::testing::{Running, eventually, waiting};
use kit::{App, Service, StartError, postgres};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, PgPool, SqlSafeStr};
use utoipa::openapi::OpenApi;

/// Writes reviews down, in the order in which they come; the count of a review is its number here.
struct Ledger;

/// Numbers that the ledger cannot write: this one ever, and this one the first time.
const BAD: u32 = 1_000_000;
const SLOW: u32 = 2_000_000;

struct Config {
    database: postgres::Settings,
    kafka: kafka::Settings,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        Some(Self { database: database?, kafka: kafka? })
    }
}

impl Service for Ledger {
    const NAME: &'static str = "ledger";
    type Config = Config;

    fn openapi() -> OpenApi {
        kit::openapi::document("Ledger", "A test.")
    }

    fn migrator() -> Option<&'static Migrator> {
        static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
            let sql = "CREATE TABLE ledger (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                           number bigint NOT NULL CHECK (number <> 1000000),
                           began timestamptz NOT NULL DEFAULT now());
                       CREATE TABLE gate ();
                       CREATE SEQUENCE tries";
            let (name, up) = (Cow::Borrowed("ledger"), MigrationType::Simple);
            Migrator::with_migrations(vec![Migration::new(1, name, up, sql.into_sql_str(), false)])
        });
        Some(&MIGRATOR)
    }

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let pool = config.database.pool(Self::NAME)?;
        let producer = Producer::new(&config.kafka, Self::NAME)?;
        let inbox = Inbox::new(Self::NAME, pool.clone()).on::<ReviewPosted>(Self).together(Self);
        let stop = app.stop.clone();
        let subscription = Subscription::new(&config.kafka, Self::NAME, inbox, producer, stop)?;
        Ok(app.database(&pool).task("inbox", subscription.run()))
    }
}

impl Handle<ReviewPosted> for Ledger {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ReviewPosted>,
    ) -> Result<(), HandlerError> {
        let number = delivery.event.count;
        // Whoever comes alone waits at the gate too.
        sqlx::query("LOCK TABLE gate IN ROW SHARE MODE").execute(&mut *tx).await?;
        sqlx::query("INSERT INTO ledger (number) VALUES ($1)")
            .bind(i64::from(number))
            .execute(&mut *tx)
            .await?;
        if number == SLOW {
            // Not taken back with the savepoint.
            let tries = sqlx::query_scalar::<_, i64>("SELECT nextval('tries')").fetch_one(tx);
            if tries.await? == 1 {
                return Err(HandlerError::transient("not now"));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Lock for Ledger {
    async fn lock(&self, tx: &mut PgConnection, _: &[Taken]) -> Result<(), HandlerError> {
        sqlx::query("LOCK TABLE gate IN ROW SHARE MODE").execute(tx).await?;
        Ok(())
    }
}

/// Posts reviews of one product, which are of one partition, while nothing can be written; each has a number and an
/// id.
async fn post(running: &Running, numbers: impl IntoIterator<Item = (u32, EventId)>) {
    let mut gate = running.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE gate IN EXCLUSIVE MODE").execute(&mut *gate).await.unwrap();
    let product_id = ProductId::new();
    for (count, id) in numbers {
        let review_id = ReviewId::new();
        let event = ReviewPosted { product_id, review_id, count, sum: 0, version: None };
        running.publish_as(id, &event).await;
    }
    // The first of them waits, and the others behind it.
    waiting(running.pool(), 1).await;
    gate.commit().await.unwrap();
}

async fn numbers(pool: &PgPool) -> Vec<i64> {
    sqlx::query_scalar("SELECT number FROM ledger ORDER BY seq").fetch_all(pool).await.unwrap()
}

async fn written(pool: &PgPool, count: usize) {
    eventually(&format!("{count} are written"), async || {
        (numbers(pool).await.len() >= count).then_some(())
    })
    .await;
}

fn fresh(numbers: impl IntoIterator<Item = u32>) -> impl Iterator<Item = (u32, EventId)> {
    numbers.into_iter().map(|number| (number, EventId::new()))
}

#[tokio::test]
async fn events_that_wait_share_transactions_and_keep_their_order() {
    let running = Running::start::<Ledger>(&[]).await;
    let pool = running.pool();
    post(&running, fresh(0..200)).await;
    written(pool, 200).await;
    assert_eq!(numbers(pool).await, (0..200).collect::<Vec<_>>());
    let transactions: i64 = sqlx::query_scalar("SELECT count(DISTINCT began) FROM ledger")
        .fetch_one(pool)
        .await
        .unwrap();
    assert!(transactions <= 20, "{transactions} transactions");
    let figures = running.metrics().await;
    let done = "events_consumed_total{outcome=\"done\",type=\"io.shop-operator.review.posted.v1\"}";
    assert!(figures.contains(done), "{figures}");
}

#[tokio::test]
async fn one_bad_record_is_put_aside_and_its_neighbours_take_effect_once() {
    let running = Running::start::<Ledger>(&[]).await;
    let (pool, bad) = (running.pool(), EventId::new());
    let twice = EventId::new();
    let events = fresh(0..10)
        .chain([(BAD, bad), (10, twice)])
        .chain(fresh(11..20))
        .chain([(10, twice)])
        .chain(fresh([20]));
    post(&running, events).await;
    let reason = running.buried(Aggregate::Review, bad).await;
    assert!(reason.contains("ledger_number_check"), "{reason}");
    written(pool, 21).await;
    assert_eq!(numbers(pool).await, (0..=20).collect::<Vec<_>>());
    let noted: i64 =
        sqlx::query_scalar("SELECT count(*) FROM inbox").fetch_one(pool).await.unwrap();
    assert_eq!(noted, 21, "the bad one is not noted");
}

#[tokio::test]
async fn a_record_that_fails_for_a_while_is_not_overtaken() {
    let running = Running::start::<Ledger>(&[]).await;
    let pool = running.pool();
    post(&running, fresh((0..5).chain([SLOW]).chain(5..10))).await;
    written(pool, 11).await;
    let mut expected: Vec<i64> = (0..10).collect();
    expected.insert(5, i64::from(SLOW));
    assert_eq!(numbers(pool).await, expected);
}

/// The service ends in the middle of it; what it has done stays done, and the rest is done after.
#[tokio::test]
async fn a_service_that_is_stopped_goes_on_where_it_was() {
    let mut running = Running::start::<Ledger>(&[]).await;
    post(&running, fresh(0..300)).await;
    written(running.pool(), 1).await;
    running.restart::<Ledger>(&[]).await;
    written(running.pool(), 300).await;
    assert_eq!(numbers(running.pool()).await, (0..300).collect::<Vec<_>>());
}
