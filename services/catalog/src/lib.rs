//! Catalog: what the shop sells, and how shoppers find it.

pub mod cache;
pub mod category;
pub mod db;
pub mod facets;
mod gallery;
mod grpc;
mod http;
pub mod image;
pub mod product;
mod seed;
pub mod spelling;
pub mod store;

use kit::config::{Env, FromEnv};
use kit::kafka::{self, Producer};
use kit::outbox::Outbox;
use kit::{App, Common, Service, StartError, postgres, redis};
use sqlx::migrate::Migrator;

use crate::cache::Cache;
use crate::gallery::Gallery;
use crate::http::Api;
use crate::store::Store;

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
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let redis = redis::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        let store = store::Settings::from_env(env);
        Some(Self { database: database?, redis: redis?, kafka: kafka?, store: store? })
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

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let pool = config.database.pool(Self::NAME)?;
        let producer = Producer::new(&config.kafka, Self::NAME)?;
        let outbox = Outbox::default();
        // Not a part of readiness: without its cache the catalog is slower, not out of order.
        let cache = Cache::new(config.redis.connect()?);
        // Nor is this: without its object store a shop sells, without pictures.
        let gallery = Gallery::new(Store::new(config.store)?, pool.clone());
        let api = Api {
            pool: pool.clone(),
            cache: cache.clone(),
            outbox: outbox.clone(),
            gallery: gallery.clone(),
            currency: app.common.currency,
        };
        let settle = cache.clone().settle(app.stop.clone());
        let relay = outbox.relay(pool.clone(), producer, app.stop.clone());
        let clean = gallery.clean(app.stop.clone());
        Ok(app
            .database(&pool)
            .http(http::router(api))
            .grpc(grpc::routes(pool, cache))
            .task("images", endless(clean))
            .task("cache", endless(settle))
            .task("outbox", endless(relay)))
    }

    async fn seed(config: Config, common: Common) -> Result<(), StartError> {
        let pool = config.database.pool(Self::NAME)?;
        seed::demo(&pool, common.currency).await
    }
}

/// A task that never fails.
async fn endless(task: impl Future<Output = ()>) -> Result<(), StartError> {
    task.await;
    Ok(())
}
