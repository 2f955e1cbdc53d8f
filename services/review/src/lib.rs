//! Reviews: what shoppers who have received a product think of it, and what its seller answers.

pub mod db;
mod events;
mod grpc;
mod http;
pub mod review;

use contracts::env;
use contracts::proto::catalog::catalog_client::CatalogClient;
use contracts::proto::order::orders_client::OrdersClient;
use kit::config::{Env, FromEnv};
use kit::grpc::Peer;
use kit::kafka::{self, Producer};
use kit::outbox::Outbox;
use kit::subscription::Subscription;
use kit::{App, OwnCommand, Service, StartError, dead_letters, postgres};
use sqlx::migrate::Migrator;

use crate::http::Api;

static COMMANDS: [OwnCommand; 1] = [dead_letters::command(|env| Box::pin(replay(env)))];

/// The service.
#[derive(Debug)]
pub struct Reviews;

/// What it is configured by.
#[derive(Debug)]
pub struct Config {
    database: postgres::Settings,
    kafka: kafka::Settings,
    orders: Peer,
    catalog: Peer,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        let orders = env.required(&env::grpc_url("order"));
        let catalog = env.required(&env::grpc_url("catalog"));
        Some(Self { database: database?, kafka: kafka?, orders: orders?, catalog: catalog? })
    }
}

impl Service for Reviews {
    const NAME: &'static str = "review";
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
        let outbox = Outbox::default();
        let inbox = events::inbox(Self::NAME, pool.clone());
        let stop = app.stop.clone();
        let subscription =
            Subscription::new(&config.kafka, Self::NAME, inbox, producer.clone(), stop)?;
        let api = Api {
            pool: pool.clone(),
            outbox: outbox.clone(),
            orders: OrdersClient::new(config.orders.client()),
            catalog: CatalogClient::new(config.catalog.client()),
        };
        let relay = outbox.relay(pool.clone(), producer, app.stop.clone());
        let relay = async {
            relay.await;
            Ok::<_, StartError>(())
        };
        Ok(app
            .database(&pool)
            .http(http::router(api))
            .grpc(grpc::routes(pool))
            .task("events", subscription.run())
            .task("outbox", relay))
    }
}

/// Processes dead letters again.
async fn replay(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let inbox = events::inbox(Reviews::NAME, config.database.pool(Reviews::NAME)?);
    dead_letters::replay(&config.kafka, Reviews::NAME, &inbox).await
}
