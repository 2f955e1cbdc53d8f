//! Accounts, sessions and roles; signs the shop's access tokens.

pub mod account;
pub mod address;
pub mod administrator;
pub mod cache;
pub mod credentials;
pub mod db;
pub mod events;
pub mod grpc;
pub mod http;
pub mod letters;
pub mod password;
pub mod throttle;
pub mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use contracts::{demo, env};
use kit::auth::Role;
use kit::config::{Env, FromEnv};
use kit::kafka::Producer;
use kit::outbox::Outbox;
use kit::subscription::Subscription;
use kit::worker::Wake;
use kit::{App, Common, OwnCommand, Service, StartError, dead_letters, kafka, postgres, redis};
use sqlx::migrate::Migrator;

use crate::account::{Email, Name};
use crate::administrator::{Administrator, Appointment};
use crate::cache::Cache;
use crate::db::NewAccount;
use crate::password::Hasher;
use crate::token::Issuer;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How often sessions and counts are removed that have ended.
const PURGE_INTERVAL: Duration = Duration::from_mins(10);
/// Address of the demo's seller; no mail can reach it (RFC 2606, 2).
const DEMO_SELLER_EMAIL: &str = "seller@demo.invalid";
/// Name of the demo's seller.
const DEMO_SELLER_NAME: &str = "Demo Goods";

static COMMANDS: [OwnCommand; 1] = [dead_letters::command(|env| Box::pin(replay(env)))];

/// The user service.
#[derive(Clone, Copy, Debug)]
pub struct User;

/// What it is configured by.
#[derive(Debug)]
pub struct Config {
    database: postgres::Settings,
    kafka: kafka::Settings,
    redis: redis::Settings,
    signing_key_file: PathBuf,
    administrator: Option<Administrator>,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        let redis = redis::Settings::from_env(env);
        let signing_key_file = env.required(env::JWT_SIGNING_KEY_FILE);
        let administrator = Administrator::from_env(env);
        Some(Self {
            database: database?,
            kafka: kafka?,
            redis: redis?,
            signing_key_file: signing_key_file?,
            administrator: administrator?,
        })
    }
}

impl Service for User {
    const NAME: &'static str = "user";
    type Config = Config;

    fn openapi() -> utoipa::openapi::OpenApi {
        http::openapi()
    }

    fn migrator() -> Option<&'static Migrator> {
        Some(&MIGRATIONS)
    }

    fn commands() -> &'static [OwnCommand] {
        &COMMANDS
    }

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let pool = config.database.pool(Self::NAME)?;
        let producer = Producer::new(&config.kafka, Self::NAME)?;
        let (outbox, resets, notices) = (Outbox::default(), Wake::default(), Wake::default());
        // Not a part of readiness: without its cache the service is slower, not out of order.
        let profiles = Cache::new(config.redis.connect()?);
        let (hasher, stop) = (Hasher::new()?, app.stop.clone());
        let auth = &app.common.auth;
        let issuer = Issuer::new(&config.signing_key_file, &auth.issuer, &auth.audience)?;
        let appointment = Appointment::new(
            config.administrator,
            pool.clone(),
            outbox.clone(),
            hasher.clone(),
            profiles.clone(),
        );
        let inbox = events::inbox(Self::NAME, pool.clone(), &notices);
        let subscription =
            Subscription::new(&config.kafka, Self::NAME, inbox, producer.clone(), stop.clone())?;
        let state = http::State {
            pool: pool.clone(),
            profiles: profiles.clone(),
            outbox: outbox.clone(),
            resets: resets.clone(),
            hasher,
            issuer: Arc::new(issuer),
            jwks_file: auth.jwks_file.clone(),
        };
        let relay = outbox.clone().relay(pool.clone(), producer, stop.clone());
        let tell = events::tell(pool.clone(), outbox.clone(), notices, stop.clone());
        let settle = profiles.clone().settle(stop.clone());
        let ready = appointment.clone();
        Ok(app
            .database(&pool)
            .check("administrator", move || std::future::ready(ready.check()))
            .http(http::routes().with_state(state).into())
            .grpc(grpc::routes(pool.clone(), profiles))
            .task("events", subscription.run())
            .task("outbox", endless(relay))
            .task("notices", endless(tell))
            .task("cache", endless(settle))
            .task("administrator", appointment.run(stop.clone()))
            .task("resets", letters::answer_resets(pool.clone(), outbox, resets, stop.clone()))
            .task("purge", async move {
                let purge = || async { db::purge::run(&pool).await.map(|()| 0) };
                Wake::default().run("purge", PURGE_INTERVAL, &stop, purge).await;
                Ok::<_, StartError>(())
            }))
    }

    async fn seed(config: Config, _common: Common) -> Result<(), StartError> {
        let pool = config.database.patient_pool(Self::NAME)?;
        let (email, name): (Email, Name) = (DEMO_SELLER_EMAIL.parse()?, DEMO_SELLER_NAME.parse()?);
        let seller = NewAccount {
            id: demo::seller_id(),
            email: &email,
            name: &name,
            password_hash: None,
            roles: &[Role::Seller],
        };
        let mut connection = pool.acquire().await?;
        if db::account(&mut connection, seller.id).await?.is_none() {
            db::insert(&mut connection, &seller).await?;
        }
        Ok(())
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
    let pool = config.database.pool(User::NAME)?;
    let inbox = events::inbox(User::NAME, pool, &Wake::default());
    dead_letters::replay(&config.kafka, User::NAME, &inbox).await
}
