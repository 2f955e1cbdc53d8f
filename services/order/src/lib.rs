//! Orders: an event stream with a read model, and the saga that takes an order from placing to
//! payment together with inventory and payment.

pub mod cache;
pub mod checkout;
pub mod db;
pub mod event;
pub mod events;
pub mod grpc;
pub mod guards;
pub mod http;
pub mod order;
pub mod owed;
pub mod peers;
pub mod providers;
pub mod rebuild;
pub mod saga;
pub mod search;
pub mod sweeper;
pub mod token;
pub mod view;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use contracts::proto::order::orders_server::OrdersServer;
use contracts::{env, limits};
use kit::config::{Env, FromEnv};
use kit::grpc::Peer;
use kit::kafka::{self, Producer};
use kit::outbox::Outbox;
use kit::subscription::Subscription;
use kit::turns::Turns;
use kit::{App, OwnCommand, Service, StartError, dead_letters, postgres, redis};
use reqwest::Url;
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::cache::Cache;
use crate::guards::Limits;
use crate::peers::{Carts, Catalog};
use crate::providers::Providers;
use crate::saga::Saga;
use crate::sweeper::Times;

static MIGRATOR: Migrator = sqlx::migrate!();

static COMMANDS: [OwnCommand; 4] = [
    OwnCommand {
        name: "rebuild",
        about: "Makes the read model of orders anew from their events, beside the running service.",
        run: |env| Box::pin(rebuild::command(env)),
    },
    OwnCommand {
        name: "owed",
        about: "Lists orders whose money or goods have not come back.",
        run: |env| Box::pin(owed::list(env)),
    },
    OwnCommand {
        name: "request-owed",
        about: "Asks again, now, for the money and the goods that have not come back.",
        run: |env| Box::pin(owed::request_all(env)),
    },
    dead_letters::command(|env| Box::pin(replay(env))),
];

/// How long an order may stay unpaid unless configured otherwise, in seconds.
const DEFAULT_EXPIRY: u64 = 30 * 60;

/// The order service.
#[derive(Debug)]
pub struct Order;

/// What it is configured by.
#[derive(Clone, Debug)]
pub struct Config {
    database: postgres::Settings,
    redis: redis::Settings,
    kafka: kafka::Settings,
    catalog: Peer,
    cart: Url,
    expiry: Duration,
    second_step: Duration,
    providers: Providers,
    limits: Limits,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let redis = redis::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        let catalog = env.required(&env::grpc_url("catalog"));
        let cart = env.required(&env::http_url("cart"));
        let expiry = env.or(env::ORDER_EXPIRY_SECONDS, DEFAULT_EXPIRY);
        let second_step = env.or(env::SECOND_STEP_SECONDS, limits::SECOND_STEP_SECONDS);
        let orders = env.or(env::OPEN_ORDERS, limits::OPEN_ORDERS);
        let units = env.or(env::OPEN_UNITS, limits::OPEN_UNITS);
        let providers = env.or(env::PAYMENT_PROVIDERS, Providers::default());
        Some(Self {
            database: database?,
            redis: redis?,
            kafka: kafka?,
            catalog: catalog?,
            cart: cart?,
            expiry: Duration::from_secs(expiry?),
            second_step: Duration::from_secs(second_step?),
            providers: providers?,
            limits: Limits { orders: orders?, units: units? },
        })
    }
}

impl Service for Order {
    const NAME: &'static str = "order";
    type Config = Config;

    fn openapi() -> utoipa::openapi::OpenApi {
        http::routes().into_openapi()
    }

    fn migrator() -> Option<&'static Migrator> {
        Some(&MIGRATOR)
    }

    fn commands() -> &'static [OwnCommand] {
        &COMMANDS
    }

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let pool = config.database.pool(Self::NAME)?;
        let producer = Producer::new(&config.kafka, Self::NAME)?;
        let (outbox, stop) = (Outbox::default(), app.stop.clone());
        // Not a part of readiness: without its cache the service is slower, not out of order.
        let cache = Cache::new(config.redis.connect()?);
        let saga = Saga::new(outbox.clone(), cache.clone());
        let inbox = saga.clone().inbox(Self::NAME, pool.clone());
        let subscription =
            Subscription::new(&config.kafka, Self::NAME, inbox, producer.clone(), stop.clone())?;
        let relay = outbox.relay(pool.clone(), producer, stop.clone());
        let settle = cache.clone().settle(stop.clone());
        let times = Times { expiry: config.expiry, second_step: config.second_step };
        let sweeper = sweeper::run(pool.clone(), saga.clone(), times, stop);
        let api = http::Api {
            pool: pool.clone(),
            saga,
            cache,
            catalog: Catalog::new(&config.catalog),
            carts: Carts::new(&config.cart)?,
            currency: app.common.currency,
            expiry: config.expiry,
            providers: config.providers,
            limits: config.limits,
            turns: Turns::default(),
        };
        let (routes, _) = http::routes().with_state(Arc::new(api)).split_for_parts();
        Ok(app
            .http(routes)
            .grpc(Routes::new(OrdersServer::new(grpc::Api(pool.clone()))))
            .database(&pool)
            .task("events", subscription.run())
            .task("outbox", async {
                relay.await;
                Ok::<_, Infallible>(())
            })
            .task("cache", async {
                settle.await;
                Ok::<_, Infallible>(())
            })
            .task("sweeper", async {
                sweeper.await;
                Ok::<_, Infallible>(())
            }))
    }
}

/// Processes dead letters again.
async fn replay(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let (pool, cache) = (config.database.pool(Order::NAME)?, Cache::new(config.redis.connect()?));
    let saga = Saga::new(Outbox::default(), cache);
    dead_letters::replay(&config.kafka, Order::NAME, &saga.inbox(Order::NAME, pool)).await
}
