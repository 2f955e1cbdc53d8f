//! Events that fail, and what that does to others, through the real Kafka into the real Postgres.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use async_trait::async_trait;
use contracts::events::{Event, ReviewPosted};
use contracts::topics::Aggregate;
use contracts::{EventId, ProductId, ReviewId};
use kit::config::{Env, FromEnv};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::kafka::{self, Producer, Record};
use kit::subscription::{HandlerError, Process, Subscription, SubscriptionError};
use kit::testing::{Running, eventually};
use kit::{App, Service, StartError, postgres};
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, PgPool, SqlSafeStr};
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

/// Writes the counts of reviews down, but for these.
pub(crate) struct Fragile;

const PANIC: u32 = 1_000_001;
/// Reads a table that there is not.
const BUG: u32 = 1_000_002;
/// Fails more often than an unknown error may, as a server does that is being shut down.
const OUTAGE: u32 = 1_000_003;
/// Waits for a lock that the test has.
const LOCKED: u32 = 1_000_004;

pub(crate) struct Config {
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

impl Service for Fragile {
    const NAME: &'static str = "fragile";
    type Config = Config;

    fn openapi() -> OpenApi {
        kit::openapi::document("Fragile", "A test.")
    }

    fn migrator() -> Option<&'static Migrator> {
        static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
            let sql = "CREATE TABLE written (number bigint NOT NULL);
                       CREATE TABLE gate ();
                       CREATE SEQUENCE attempts;
                       CREATE FUNCTION outage() RETURNS void AS $$ BEGIN
                           -- Not rolled back.
                           IF nextval('attempts') <= 11 THEN
                               RAISE 'the server shuts down' USING ERRCODE = '57P01';
                           END IF;
                       END $$ LANGUAGE plpgsql";
            let (name, up) = (Cow::Borrowed("fragile"), MigrationType::Simple);
            Migrator::with_migrations(vec![Migration::new(1, name, up, sql.into_sql_str(), false)])
        });
        Some(&MIGRATOR)
    }

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let pool = config.database.pool(Self::NAME)?;
        let producer = Producer::new(&config.kafka, Self::NAME)?;
        let inbox = Inbox::new(Self::NAME, pool.clone()).on::<ReviewPosted>(Self);
        let stop = app.stop.clone();
        let subscription = Subscription::new(&config.kafka, Self::NAME, inbox, producer, stop)?;
        Ok(app.database(&pool).task("inbox", subscription.run()))
    }
}

impl Handle<ReviewPosted> for Fragile {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ReviewPosted>,
    ) -> Result<(), HandlerError> {
        let number = delivery.event.count;
        sqlx::query("INSERT INTO written (number) VALUES ($1)")
            .bind(i64::from(number))
            .execute(&mut *tx)
            .await?;
        let statement = match number {
            PANIC => panic!("a bug in the handler"),
            BUG => "SELECT FROM no_such_table",
            OUTAGE => "SELECT outage()",
            LOCKED => "LOCK TABLE gate IN ROW SHARE MODE",
            _ => return Ok(()),
        };
        sqlx::query(statement).execute(tx).await?;
        Ok(())
    }
}

/// Posts a review of a product, whose events are of one partition.
async fn post(running: &Running, product_id: ProductId, count: u32) -> EventId {
    let review_id = ReviewId::new();
    running.publish(&ReviewPosted { product_id, review_id, count, sum: 0, version: None }).await
}

async fn numbers(pool: &PgPool) -> Vec<i64> {
    sqlx::query_scalar("SELECT number FROM written ORDER BY number").fetch_all(pool).await.unwrap()
}

async fn written(running: &Running, number: u32) {
    eventually(&format!("{number} is written"), async || {
        numbers(running.pool()).await.contains(&i64::from(number)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_panics_is_a_dead_letter_and_holds_up_nothing() {
    let running = Running::start::<Fragile>(&[]).await;
    let product = ProductId::new();
    post(&running, product, 1).await;
    let bad = post(&running, product, PANIC).await;
    post(&running, product, 2).await;
    written(&running, 2).await;
    let reason = running.buried(Aggregate::Review, bad).await;
    assert!(reason.contains("panicked: a bug in the handler"), "{reason}");
    assert_eq!(numbers(running.pool()).await, [1, 2]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_error_of_an_unknown_kind_is_a_dead_letter_in_the_end() {
    let running = Running::start::<Fragile>(&[]).await;
    let product = ProductId::new();
    let bad = post(&running, product, BUG).await;
    post(&running, product, 1).await;
    written(&running, 1).await;
    let reason = running.buried(Aggregate::Review, bad).await;
    assert!(reason.contains("no_such_table"), "{reason}");
}

#[tokio::test]
async fn an_outage_makes_no_dead_letters() {
    let running = Running::start::<Fragile>(&[]).await;
    let product = ProductId::new();
    post(&running, product, OUTAGE).await;
    post(&running, product, 1).await;
    written(&running, 1).await;
    assert_eq!(numbers(running.pool()).await, [1, i64::from(OUTAGE)]);
}

#[tokio::test]
async fn a_blocked_partition_is_measured_and_holds_up_no_other() {
    let running = Running::start::<Fragile>(&[]).await;
    let mut gate = running.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE gate IN EXCLUSIVE MODE").execute(&mut *gate).await.unwrap();
    let blocked = ProductId::new();
    post(&running, blocked, LOCKED).await;
    // More than fit into the queue of a partition.
    for number in 0..300 {
        post(&running, blocked, number).await;
    }
    // One of so many is in the other partition.
    for number in 300..330 {
        post(&running, ProductId::new(), number).await;
    }
    eventually("another partition is consumed", async || {
        (!numbers(running.pool()).await.is_empty()).then_some(())
    })
    .await;
    let topic = ReviewPosted::AGGREGATE.topic(&running.kafka.topic_prefix);
    let measured = async |name: &str| -> f64 {
        let metrics = running.metrics().await;
        let series = format!("{name}{{");
        let ours =
            metrics.lines().filter(|line| line.starts_with(&series) && line.contains(&topic));
        ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).fold(0.0, f64::max)
    };
    eventually("the partition is reported as blocked", async || {
        // What was not fetched yet is not known.
        let behind = measured("events_lag").await > 64.0;
        let blocked = measured("events_blocked_seconds").await;
        (behind && blocked > 0.0).then_some(())
    })
    .await;
    gate.commit().await.unwrap();
    eventually("everything is written", async || {
        (numbers(running.pool()).await.len() == 331).then_some(())
    })
    .await;
    eventually("nothing is reported any more", async || {
        let gone = measured("events_lag").await + measured("events_blocked_seconds").await;
        (gone <= 0.0).then_some(())
    })
    .await;
}

/// For how long a partition of these topics is reported as blocked.
async fn blocked_seconds(running: &Running) -> f64 {
    let topic = ReviewPosted::AGGREGATE.topic(&running.kafka.topic_prefix);
    let metrics = running.metrics().await;
    let ours = metrics
        .lines()
        .filter(|line| line.starts_with("events_blocked_seconds{") && line.contains(&topic));
    ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).fold(0.0, f64::max)
}

/// Waits until a partition is reported as blocked whose first record becomes a dead letter, which no broker takes.
async fn measured_as_blocked(unreadable: bool) {
    let running = Running::start::<Fragile>(&[]).await;
    // Accepts connections and answers none.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let brokers = silent.local_addr().unwrap().to_string();
    let away = kafka::Settings { brokers, ..running.kafka.clone() };
    let (producer, stop) = (Producer::new(&away, "away").unwrap(), CancellationToken::new());
    let inbox = Inbox::new("away", running.pool().clone()).on::<ReviewPosted>(Fragile);
    let kafka = &running.kafka;
    let away = Subscription::new(kafka, "away", inbox, producer, stop.clone()).unwrap();
    let consuming = tokio::spawn(away.run());
    if unreadable {
        let topic = ReviewPosted::AGGREGATE.topic(&kafka.topic_prefix);
        let writer: FutureProducer = kafka.client().create().unwrap();
        let record = FutureRecord::<str, [u8]>::to(&topic).payload(b"no event");
        writer.send(record, std::time::Duration::from_mins(1)).await.unwrap();
    } else {
        post(&running, ProductId::new(), PANIC).await;
    }
    // Five attempts take less than a second, and the first one to send it ten.
    eventually("it is reported while it cannot be sent", async || {
        (blocked_seconds(&running).await > 5.0).then_some(())
    })
    .await;
    stop.cancel();
    consuming.await.unwrap().unwrap();
    assert!(blocked_seconds(&running).await <= 0.0, "another member has it now");
}

/// As with an external Kafka that lets the shop write to no dead letter topic.
#[tokio::test]
async fn a_dead_letter_that_cannot_be_sent_is_measured_as_blocked() {
    tokio::join!(measured_as_blocked(true), measured_as_blocked(false));
}

/// A database that was lost is there again before it has its tables.
#[tokio::test]
async fn an_event_that_cannot_be_noted_is_not_to_blame() {
    let running = Running::start::<Fragile>(&[]).await;
    let pool = running.pool();
    let inbox = Inbox::new("later", pool.clone()).on::<ReviewPosted>(Fragile);
    let (product_id, review_id) = (ProductId::new(), ReviewId::new());
    let event = ReviewPosted { product_id, review_id, count: 1, sum: 0, version: None };
    let record = Record {
        id: EventId::new(),
        r#type: ReviewPosted::TYPE.to_owned(),
        subject: event.aggregate_id(),
        time: chrono::Utc::now(),
        traceparent: None,
        payload: serde_json::to_vec(&event).unwrap(),
    };
    sqlx::query("ALTER TABLE inbox RENAME TO lost").execute(pool).await.unwrap();
    let failed = inbox.process(&record).await;
    assert!(matches!(failed, Err(HandlerError::Transient(_))), "{failed:?}");
    sqlx::query("ALTER TABLE lost RENAME TO inbox").execute(pool).await.unwrap();
    inbox.process(&record).await.unwrap();
    assert_eq!(numbers(pool).await, [1]);
}

/// What is wrong with it is no event's fault.
struct Broken;

#[async_trait]
impl Process for Broken {
    fn aggregates(&self) -> BTreeSet<Aggregate> {
        BTreeSet::from([ReviewPosted::AGGREGATE])
    }

    fn wants(&self, _: &str) -> bool {
        panic!("it does not know")
    }

    async fn process(&self, _: &Record) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_worker_that_dies_ends_the_subscription() {
    let running = Running::start::<Fragile>(&[]).await;
    let (kafka, stop) = (&running.kafka, CancellationToken::new());
    let producer = Producer::new(kafka, "broken").unwrap();
    let subscription = Subscription::new(kafka, "broken", Broken, producer, stop).unwrap();
    post(&running, ProductId::new(), 1).await;
    let ended = tokio::time::timeout(std::time::Duration::from_mins(1), subscription.run()).await;
    assert!(matches!(ended, Ok(Err(SubscriptionError::Worker(_)))), "{ended:?}");
}
