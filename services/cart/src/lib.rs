//! Carts of guests and users, kept in Redis.

pub mod cart;
pub mod events;
pub mod http;
pub mod id;
pub mod peers;
pub mod store;
pub mod visitor;

use std::sync::Arc;

use contracts::env;
use kit::config::{Env, FromEnv};
use kit::grpc::Peer;
use kit::kafka::{self, Producer};
use kit::subscription::Subscription;
use kit::{App, OwnCommand, Service, StartError, dead_letters, redis};

use crate::events::Forget;
use crate::peers::{Catalog, Inventory};
use crate::store::Store;

static COMMANDS: [OwnCommand; 1] = [dead_letters::command(|env| Box::pin(replay(env)))];

/// The cart service.
#[derive(Debug)]
pub struct Cart;

/// What it is configured by.
#[derive(Clone, Debug)]
pub struct Config {
    redis: redis::Settings,
    kafka: kafka::Settings,
    catalog: Peer,
    inventory: Peer,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let redis = redis::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        let catalog = env.required(&env::grpc_url("catalog"));
        let inventory = env.required(&env::grpc_url("inventory"));
        Some(Self { redis: redis?, kafka: kafka?, catalog: catalog?, inventory: inventory? })
    }
}

impl Service for Cart {
    const NAME: &'static str = "cart";
    type Config = Config;

    fn openapi() -> utoipa::openapi::OpenApi {
        http::routes().into_openapi()
    }

    fn commands() -> &'static [OwnCommand] {
        &COMMANDS
    }

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let redis = config.redis.connect()?;
        let store = Store::new(redis.clone());
        let producer = Producer::new(&config.kafka, Self::NAME)?;
        let forget = Forget(store.clone());
        let subscription =
            Subscription::new(&config.kafka, Self::NAME, forget, producer, app.stop.clone())?;
        let api = http::Api {
            store,
            catalog: Catalog::new(&config.catalog),
            inventory: Inventory::new(&config.inventory),
            currency: app.common.currency,
        };
        let (routes, _) = http::routes().with_state(Arc::new(api)).split_for_parts();
        Ok(app
            .http(routes)
            .check("redis", move || redis::ping(redis.clone()))
            .task("events", subscription.run()))
    }
}

/// Processes dead letters again.
async fn replay(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let forget = Forget(Store::new(config.redis.connect()?));
    dead_letters::replay(&config.kafka, Cart::NAME, &forget).await
}
