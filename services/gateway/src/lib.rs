//! The shop's entry: routes, authentication, limits, the product page, the API's documentation.
//! It keeps nothing but counters in Redis.

pub mod access;
pub mod canaries;
pub mod client;
pub mod documents;
pub mod edge;
pub mod headers;
pub mod http;
pub mod limit;
pub mod merge;
pub mod origins;
pub mod page;
pub mod pages;
pub mod postman;
pub mod proxy;
pub mod replay;
pub mod routes;
pub mod standing;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use contracts::{TrustedProxies, env};
use kit::config::{Env, FromEnv};
use kit::grpc::Peer;
use kit::{App, Service, StartError};
use utoipa::openapi::OpenApi;

use crate::canaries::Canaries;
use crate::documents::Library;
use crate::edge::Limits;
use crate::limit::Limiter;
use crate::origins::AllowedOrigins;
use crate::page::Sources;
use crate::proxy::{Base, Proxy};
use crate::routes::Upstream;
use crate::standing::Standings;

/// Requests a minute that one client may send, unless the shop says otherwise.
const RATE_LIMIT: NonZeroU32 = NonZeroU32::new(600).expect("it is more than nothing");

/// The gateway.
pub struct Gateway;

/// What the gateway is configured by.
pub struct Config {
    redis: kit::redis::Settings,
    rate_limit: NonZeroU32,
    origins: AllowedOrigins,
    shared_addresses: bool,
    weights: Option<PathBuf>,
    bases: HashMap<Upstream, Base>,
    peers: Peers,
}

/// The services that make the product page.
struct Peers {
    catalog: Peer,
    user: Peer,
    inventory: Peer,
    review: Option<Peer>,
}

impl FromEnv for Peers {
    fn from_env(env: &mut Env) -> Option<Self> {
        let mut required = |upstream: Upstream| env.required(&env::grpc_url(upstream.name()));
        let catalog = required(Upstream::Catalog);
        let user = required(Upstream::User);
        let inventory = required(Upstream::Inventory);
        let review = env.optional(&env::grpc_url(Upstream::Review.name()));
        Some(Self { catalog: catalog?, user: user?, inventory: inventory?, review: review? })
    }
}

/// The services that requests are passed on to; those that a shop can do without may be absent.
fn bases(env: &mut Env) -> Option<HashMap<Upstream, Base>> {
    let mut bases = HashMap::new();
    let mut complete = true;
    for upstream in Upstream::ALL {
        let name = env::http_url(upstream.name());
        let base =
            if upstream.optional() { env.optional(&name) } else { env.required(&name).map(Some) };
        complete &= base.is_some();
        bases.extend(base.flatten().map(|base| (upstream, base)));
    }
    complete.then_some(bases)
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let redis = kit::redis::Settings::from_env(env);
        let rate_limit = env.or(env::RATE_LIMIT_PER_MINUTE, RATE_LIMIT);
        let origins = env.or(env::CORS_ALLOWED_ORIGINS, AllowedOrigins::None);
        let shared_addresses = env.or(env::SHARED_ADDRESSES, false);
        let weights = env.optional(env::WEIGHTS_FILE);
        let bases = bases(env);
        let peers = Peers::from_env(env);
        Some(Self {
            redis: redis?,
            rate_limit: rate_limit?,
            origins: origins?,
            shared_addresses: shared_addresses?,
            weights: weights?,
            bases: bases?,
            peers: peers?,
        })
    }
}

/// What the handlers work with.
pub struct Edge {
    shop: String,
    proxy: Proxy,
    sources: Sources,
    standings: Arc<Standings>,
    library: Library,
    limiter: Limiter,
    limits: Limits,
    origins: AllowedOrigins,
    trusted_proxies: TrustedProxies,
    shared_addresses: bool,
    draining: Arc<AtomicBool>,
}

impl Service for Gateway {
    const NAME: &'static str = "gateway";
    type Config = Config;

    fn openapi() -> OpenApi {
        http::api().1
    }

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let Config { redis, rate_limit, shared_addresses, origins, weights, bases, peers } = config;
        let shop = app.common.shop.clone();
        let canaries = Arc::<Canaries>::default();
        let standings = Arc::new(Standings::new(&peers.user));
        let edge = Edge {
            proxy: Proxy::new(bases, Arc::clone(&canaries), app.stop.clone()),
            sources: Sources::new(
                &peers.catalog,
                &peers.user,
                &peers.inventory,
                peers.review.as_ref(),
            ),
            standings: Arc::clone(&standings),
            library: Library::new(serde_json::to_value(kit::openapi::of::<Self>())?),
            limiter: Limiter::new(redis.connect()?, &shop),
            limits: Limits(rate_limit),
            origins,
            trusted_proxies: app.common.listen.trusted_proxies.clone(),
            shared_addresses,
            draining: app.draining(),
            shop,
        };
        // The very first request is to be judged too. If it fails, the task says so.
        standings.refresh().await.ok();
        let following = standings.follow(app.stop.clone());
        let app = app.public().without_docs().http(http::routes(Arc::new(edge)));
        let app = app.task("standings", following);
        let Some(file) = weights else { return Ok(app) };
        // The very first request is to be shared too.
        canaries.read(&file).await;
        let following = canaries.follow(file, app.stop.clone());
        Ok(app.task("weights", following))
    }
}
