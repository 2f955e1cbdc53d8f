//! Inventory: what is in stock, what is held for whom, and how it came to be so. No unit is sold
//! twice, and none is held for ever.

mod access;
pub mod announcement;
pub mod db;
pub mod events;
mod grpc;
mod http;
pub mod product;
mod sellers;
pub mod shelf;
pub mod stock;
pub mod sweeper;

use std::num::NonZeroU32;
use std::time::Duration;

use contracts::env;
use contracts::proto::catalog::catalog_client::CatalogClient;
use kit::config::{Env, FromEnv};
use kit::grpc::Peer;
use kit::kafka::{self, Producer};
use kit::outbox::Outbox;
use kit::subscription::Subscription;
use kit::{App, Common, OwnCommand, Service, StartError, dead_letters, postgres};
use sqlx::migrate::Migrator;

use crate::events::Orders;
use crate::http::Api;

/// How long stock is held for an order unless configured otherwise: half an hour.
const RESERVATION_TTL_SECONDS: NonZeroU32 = NonZeroU32::new(30 * 60).expect("it is not 0");

static COMMANDS: [OwnCommand; 1] = [dead_letters::command(|env| Box::pin(replay(env)))];

/// The service.
#[derive(Debug)]
pub struct Inventory;

/// What it is configured by.
#[derive(Debug)]
pub struct Config {
    database: postgres::Settings,
    kafka: kafka::Settings,
    reservation_ttl: Duration,
    catalog: Peer,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        // Nothing shorter than a second, nothing longer than Postgres can add to a time.
        let ttl = env.or(env::RESERVATION_TTL_SECONDS, RESERVATION_TTL_SECONDS);
        let reservation_ttl = Duration::from_secs(ttl?.get().into());
        let catalog = env.required(&env::grpc_url("catalog"));
        Some(Self { database: database?, kafka: kafka?, reservation_ttl, catalog: catalog? })
    }
}

impl Service for Inventory {
    const NAME: &'static str = "inventory";
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
        let orders = Orders { outbox: outbox.clone(), ttl: config.reservation_ttl };
        let inbox = orders.inbox(Self::NAME, pool.clone());
        let stop = app.stop.clone();
        let subscription =
            Subscription::new(&config.kafka, Self::NAME, inbox, producer.clone(), stop.clone())?;
        let sweeper =
            sweeper::run(pool.clone(), outbox.clone(), config.reservation_ttl, stop.clone());
        let catalog = CatalogClient::new(config.catalog.client());
        let sellers = sellers::run(pool.clone(), catalog, stop.clone());
        let api = Api { pool: pool.clone(), outbox: outbox.clone() };
        let relay = outbox.relay(pool.clone(), producer, stop);
        Ok(app
            .database(&pool)
            .http(http::router(api))
            .grpc(grpc::routes(pool))
            .task("events", subscription.run())
            .task("sweeper", async {
                sweeper.await;
                Ok::<_, StartError>(())
            })
            .task("sellers", async {
                sellers.await;
                Ok::<_, StartError>(())
            })
            .task("outbox", async {
                relay.await;
                Ok::<_, StartError>(())
            }))
    }

    async fn seed(config: Config, _common: Common) -> Result<(), StartError> {
        let pool = config.database.patient_pool(Self::NAME)?;
        let mut tx = pool.begin().await?;
        for product in contracts::demo::stock() {
            let sku = product.sku.parse()?;
            // Its product may have made it known already.
            if !db::has_moved(&mut tx, &sku).await? {
                let reason = db::Reason { note: Some("demo".to_owned()), ..db::Reason::default() };
                db::supply(&mut tx, &sku, product.stock, None, &reason).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Processes dead letters again.
async fn replay(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let (pool, outbox) = (config.database.pool(Inventory::NAME)?, Outbox::default());
    let inbox = Orders { outbox, ttl: config.reservation_ttl }.inbox(Inventory::NAME, pool);
    dead_letters::replay(&config.kafka, Inventory::NAME, &inbox).await
}
