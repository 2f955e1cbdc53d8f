//! Measures how many orders a second one SKU can serve when every buyer wants the same: each event in a transaction
//! of its own, and events that wait in one together, in turns. Prints table rows in Markdown.
//!
//! `TEST_DATABASE_URL` should name a server that flushes to a disk (`fsync=on`), as that of a shop does:
//! `cargo run --release -p inventory --all-features --example hot_sku [ORDERS] [ROUNDS]`

#![expect(clippy::expect_used, reason = "it is run by hand")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::Utc;
use contracts::events::{Event, OrderLine, OrderPaid, OrderPlaced};
use contracts::topics::Aggregate;
use contracts::{Currency, Money, OrderId, ProductId, Sku, UserId};
use futures_util::future::join_all;
use inventory::Inventory;
use inventory::db::{self, Reason};
use inventory::events::Orders;
use kit::config::{Env, FromEnv};
use kit::inbox::Inbox;
use kit::kafka::{Producer, Record};
use kit::outbox::Outbox;
use kit::subscription::{HandlerError, Process, Subscription};
use kit::testing::Running;
use kit::{App, Service, StartError, postgres};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

/// An inventory that listens to nothing yet: its database and its topics.
struct Idle;

struct Config(postgres::Settings);

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        postgres::Settings::from_env(env).map(Self)
    }
}

impl Service for Idle {
    const NAME: &'static str = Inventory::NAME;
    type Config = Config;

    fn openapi() -> OpenApi {
        Inventory::openapi()
    }

    fn migrator() -> Option<&'static Migrator> {
        Inventory::migrator()
    }

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let pool = config.0.pool(Self::NAME)?;
        Ok(app.database(&pool))
    }
}

/// Each event in a transaction of its own.
struct Alone(Inbox);

#[async_trait]
impl Process for Alone {
    fn aggregates(&self) -> BTreeSet<Aggregate> {
        self.0.aggregates()
    }

    fn wants(&self, event_type: &str) -> bool {
        self.0.wants(event_type)
    }

    async fn process(&self, record: &Record) -> Result<(), HandlerError> {
        self.0.process(record).await
    }
}

/// Publishes events as fast as Kafka takes them.
async fn publish(running: &Running, events: &[impl Event]) {
    for some in events.chunks(500) {
        join_all(some.iter().map(|event| running.publish(event))).await;
    }
}

/// Places and pays so many orders of the same unit.
async fn prepare(running: &Running, orders: usize) {
    let sku: Sku = "HOT".parse().expect("a SKU");
    let mut tx = running.pool().begin().await.expect("Postgres answers");
    let units = i64::try_from(orders).expect("a small number");
    db::supply(&mut tx, &sku, units, None, &Reason::default()).await.expect("units come in");
    tx.commit().await.expect("units come in");
    let (user_id, total) = (UserId::new(), Money::new(100, Currency::EUR));
    let line = OrderLine {
        product_id: ProductId::new(),
        sku,
        name: "Hot".to_owned(),
        quantity: 1,
        unit_price: total,
    };
    let placed: Vec<OrderPlaced> = (0..orders)
        .map(|_| OrderPlaced {
            order_id: OrderId::new(),
            user_id,
            lines: vec![line.clone()],
            total,
            expires_at: Utc::now(),
            source: None,
        })
        .collect();
    let paid = placed.iter().map(|order| OrderPaid {
        order_id: order.order_id,
        user_id,
        lines: order.lines.clone(),
        total,
        source: None,
    });
    publish(running, &placed).await;
    publish(running, &paid.collect::<Vec<_>>()).await;
}

/// Waits until so many events have taken effect.
async fn processed(pool: &PgPool, events: usize) {
    loop {
        let noted = sqlx::query_scalar("SELECT count(*) FROM inbox").fetch_one(pool).await;
        let noted: i64 = noted.expect("Postgres answers");
        if usize::try_from(noted).is_ok_and(|noted| noted >= events) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Orders a second, from the first that is held to the last that is committed.
async fn measure<P: Process>(orders: usize, process: impl Fn(Inbox) -> P) -> f64 {
    let running = Running::start::<Idle>(&[]).await;
    prepare(&running, orders).await;
    let (outbox, stop) = (Outbox::default(), CancellationToken::new());
    let producer = Producer::new(&running.kafka, Inventory::NAME).expect("the settings are valid");
    let handlers = Orders { outbox: outbox.clone(), ttl: Duration::from_mins(30) };
    let inbox = handlers.inbox(Inventory::NAME, running.pool().clone());
    let subscription = Subscription::new(
        &running.kafka,
        Inventory::NAME,
        process(inbox),
        producer.clone(),
        stop.clone(),
    );
    let consumer = tokio::spawn(subscription.expect("the settings are valid").run());
    let relay = tokio::spawn(outbox.relay(running.pool().clone(), producer, stop.clone()));
    // Joining the group takes its time, whatever comes after.
    processed(running.pool(), 1).await;
    let begun = Instant::now();
    processed(running.pool(), 2 * orders).await;
    let took = begun.elapsed();
    stop.cancel();
    consumer.await.expect("it ends").expect("it ends well");
    relay.await.expect("it ends");
    f64::from(u32::try_from(orders).expect("a small number")) / took.as_secs_f64()
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "rows are what this program is for")]
async fn main() {
    let number = |at, default| {
        std::env::args().nth(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let (orders, rounds) = (number(1, 2000), number(2, 3));
    println!(
        "| orders a second of one SKU, {orders} orders | each event alone | together |\n|---|---|---|"
    );
    for round in 1..=rounds {
        let alone = measure(orders, Alone).await;
        let together = measure(orders, |inbox| inbox).await;
        println!("| round {round} | {alone:.0} | {together:.0} |");
    }
}
