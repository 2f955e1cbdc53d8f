//! Payment: takes the money for an order once, and gives it back when the order asks for that.
//! What is charged comes from the order; with what, from the shopper, as a provider's token.

pub mod db;
pub mod events;
mod http;
pub mod payment;
pub mod provider;
pub mod worker;

use kit::config::{Env, FromEnv};
use kit::kafka::{self, Producer};
use kit::outbox::Outbox;
use kit::subscription::Subscription;
use kit::worker::Wake;
use kit::{App, OwnCommand, Service, StartError, dead_letters, postgres};
use sqlx::migrate::Migrator;

use crate::events::Orders;
use crate::provider::{Providers, TestProvider};
use crate::worker::Worker;

static COMMANDS: [OwnCommand; 1] = [dead_letters::command(|env| Box::pin(replay(env)))];

/// The service.
#[derive(Debug)]
pub struct Payment;

/// What it is configured by.
#[derive(Debug)]
pub struct Config {
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

impl Service for Payment {
    const NAME: &'static str = "payment";
    type Config = Config;

    fn openapi() -> utoipa::openapi::OpenApi {
        http::document()
    }

    fn migrator() -> Option<&'static Migrator> {
        static MIGRATOR: Migrator = sqlx::migrate!("./migrations");
        Some(&MIGRATOR)
    }

    fn commands() -> &'static [OwnCommand] {
        &COMMANDS
    }

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let pool = config.database.pool(Self::NAME)?;
        let producer = Producer::new(&config.kafka, Self::NAME)?;
        let (outbox, wake) = (Outbox::default(), Wake::default());
        let orders = Orders { outbox: outbox.clone(), wake: wake.clone() };
        let inbox = orders.inbox(Self::NAME, pool.clone());
        let stop = app.stop.clone();
        let subscription =
            Subscription::new(&config.kafka, Self::NAME, inbox, producer.clone(), stop.clone())?;
        let providers = Providers::default().with(TestProvider::new(pool.clone()));
        let worker = Worker { pool: pool.clone(), outbox: outbox.clone(), providers };
        let worker = worker.run(wake, stop.clone());
        let relay = outbox.relay(pool.clone(), producer, stop);
        Ok(app
            .database(&pool)
            .http(http::router(pool))
            .task("events", subscription.run())
            .task("worker", async {
                worker.await;
                Ok::<_, StartError>(())
            })
            .task("outbox", async {
                relay.await;
                Ok::<_, StartError>(())
            }))
    }
}

/// Processes dead letters again.
async fn replay(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let inbox = Orders::default().inbox(Payment::NAME, config.database.pool(Payment::NAME)?);
    dead_letters::replay(&config.kafka, Payment::NAME, &inbox).await
}
