//! Accounts, sessions and roles; signs the shop's access tokens.

pub mod account;
pub mod address;
pub mod administrator;
pub mod db;
pub mod grpc;
pub mod guessing;
pub mod http;
pub mod letters;
pub mod password;
pub mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use contracts::{demo, env};
use kit::auth::Role;
use kit::config::{Env, FromEnv};
use kit::kafka::Producer;
use kit::outbox::Outbox;
use kit::worker::Wake;
use kit::{App, Common, Service, StartError, kafka, postgres};
use sqlx::migrate::Migrator;

use crate::account::{Email, Name};
use crate::administrator::{Administrator, Appointment};
use crate::db::NewAccount;
use crate::password::Hasher;
use crate::token::Issuer;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How often sessions and counts are removed that have ended.
const PURGE_INTERVAL: Duration = Duration::from_hours(1);
/// Address of the demo's seller; no mail can reach it (RFC 2606, 2).
const DEMO_SELLER_EMAIL: &str = "seller@demo.invalid";
/// Name of the demo's seller.
const DEMO_SELLER_NAME: &str = "Demo Goods";

/// The user service.
#[derive(Clone, Copy, Debug)]
pub struct User;

/// What it is configured by.
#[derive(Debug)]
pub struct Config {
    database: postgres::Settings,
    kafka: kafka::Settings,
    signing_key_file: PathBuf,
    administrator: Option<Administrator>,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        let signing_key_file = env.required(env::JWT_SIGNING_KEY_FILE);
        let administrator = Administrator::from_env(env);
        Some(Self {
            database: database?,
            kafka: kafka?,
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

    async fn build(config: Config, app: App) -> Result<App, StartError> {
        let pool = config.database.pool(Self::NAME)?;
        let producer = Producer::new(&config.kafka, Self::NAME)?;
        let (outbox, resets) = (Outbox::default(), Wake::default());
        let (hasher, stop) = (Hasher::new()?, app.stop.clone());
        let auth = &app.common.auth;
        let issuer = Issuer::new(&config.signing_key_file, &auth.issuer, &auth.audience)?;
        let appointment =
            Appointment::new(config.administrator, pool.clone(), outbox.clone(), hasher.clone());
        let state = http::State {
            pool: pool.clone(),
            outbox: outbox.clone(),
            resets: resets.clone(),
            hasher,
            issuer: Arc::new(issuer),
            jwks_file: auth.jwks_file.clone(),
        };
        let relay = outbox.clone().relay(pool.clone(), producer, stop.clone());
        let ready = appointment.clone();
        Ok(app
            .database(&pool)
            .check("administrator", move || std::future::ready(ready.check()))
            .http(http::routes().with_state(state).into())
            .grpc(grpc::routes(pool.clone()))
            .task("outbox", async move {
                relay.await;
                Ok::<_, StartError>(())
            })
            .task("administrator", appointment.run(stop.clone()))
            .task("resets", letters::answer_resets(pool.clone(), outbox, resets, stop.clone()))
            .task("purge", async move {
                let purge = || async {
                    guessing::purge(&pool).await?;
                    db::email_tokens::purge(&mut *pool.acquire().await?).await?;
                    db::sessions::purge(&pool).await.map(|_| 0)
                };
                Wake::default().run("purge", PURGE_INTERVAL, &stop, purge).await;
                Ok::<_, StartError>(())
            }))
    }

    async fn seed(config: Config, _common: Common) -> Result<(), StartError> {
        let pool = config.database.pool(Self::NAME)?;
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
