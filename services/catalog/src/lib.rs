//! Catalog: what the shop sells, and how shoppers find it.

pub mod cache;
pub mod category;
pub mod db;
mod deleting;
pub mod deletion;
mod events;
pub mod facets;
mod gallery;
mod grpc;
mod http;
pub mod image;
mod language;
pub mod product;
mod searches;
mod seed;
pub mod spelling;
pub mod store;
mod sweeper;
pub mod variant;

use contracts::env;
use contracts::search::SearchLanguage;
use kit::config::{Env, FromEnv};
use kit::kafka::{self, Producer};
use kit::outbox::Outbox;
use kit::subscription::Subscription;
use kit::{App, Common, OwnCommand, Service, StartError, dead_letters, postgres, redis};
use sqlx::migrate::Migrator;

use crate::cache::Cache;
use crate::deleting::Deleting;
use crate::gallery::Gallery;
use crate::http::Api;
use crate::searches::Searches;
use crate::store::Store;

static COMMANDS: [OwnCommand; 1] = [dead_letters::command(|env| Box::pin(replay(env)))];

/// The service.
#[derive(Debug)]
pub struct Catalog;

/// What it is configured by.
#[derive(Debug)]
pub struct Config {
    database: postgres::Settings,
    redis: redis::Settings,
    kafka: kafka::Settings,
    store: store::Settings,
    language: SearchLanguage,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let redis = redis::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        let store = store::Settings::from_env(env);
        let language = env.or(env::SEARCH_LANGUAGE, SearchLanguage::default());
        Some(Self {
            database: database?,
            redis: redis?,
            kafka: kafka?,
            store: store?,
            language: language?,
        })
    }
}

impl Service for Catalog {
    const NAME: &'static str = "catalog";
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
        let searches = Searches::new(&config.database, Self::NAME)?;
        let pool = config.database.pool(Self::NAME)?;
        let producer = Producer::new(&config.kafka, Self::NAME)?;
        let outbox = Outbox::default();
        // Not a part of readiness: without its cache the catalog is slower, not out of order.
        let cache = Cache::new(config.redis.connect()?);
        let deleting = Deleting::new(outbox.clone(), cache.clone());
        let inbox = events::inbox(Self::NAME, pool.clone(), deleting.clone());
        let stop = app.stop.clone();
        let subscription =
            Subscription::new(&config.kafka, Self::NAME, inbox, producer.clone(), stop.clone())?;
        let language = language::run(pool.clone(), config.language, stop.clone());
        let sweeper = sweeper::run(pool.clone(), deleting.clone(), stop);
        // Nor is this: without its object store a shop sells, without pictures.
        let gallery = Gallery::new(Store::new(config.store)?, pool.clone());
        let api = Api {
            pool: pool.clone(),
            searches,
            cache: cache.clone(),
            outbox: outbox.clone(),
            deleting,
            gallery: gallery.clone(),
            currency: app.common.currency,
        };
        let settle = cache.clone().settle(app.stop.clone());
        let relay = outbox.relay(pool.clone(), producer, app.stop.clone());
        let verifier = app.verifier();
        let clean = gallery.clean(app.stop.clone());
        Ok(app
            .database(&pool)
            .http(http::router(api))
            .grpc(grpc::routes(pool, cache, verifier))
            .task("events", subscription.run())
            .task("sweeper", endless(sweeper))
            .task("images", endless(clean))
            .task("language", endless(language))
            .task("cache", endless(settle))
            .task("outbox", endless(relay)))
    }

    async fn seed(config: Config, common: Common) -> Result<(), StartError> {
        let pool = config.database.patient_pool(Self::NAME)?;
        seed::demo(&pool, common.currency).await
    }
}

/// A task that never fails.
async fn endless(task: impl Future<Output = ()>) -> Result<(), StartError> {
    task.await;
    Ok(())
}

/// Processes dead letters again.
async fn replay(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let pool = config.database.pool(Catalog::NAME)?;
    let deleting = Deleting::new(Outbox::default(), Cache::new(config.redis.connect()?));
    let inbox = events::inbox(Catalog::NAME, pool, deleting);
    dead_letters::replay(&config.kafka, Catalog::NAME, &inbox).await
}
