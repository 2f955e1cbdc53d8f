//! Payment: takes the money for an order once, and gives it back when the order or staff asks for
//! that. What is charged comes from the order; with what, from the shopper, as a provider's token.

pub mod db;
pub mod events;
mod http;
pub mod payment;
pub mod provider;
pub mod reconciliation;
pub mod signature;
pub mod worker;

use std::collections::HashMap;

use contracts::env;

use kit::config::{Env, FromEnv};
use kit::kafka::{self, Producer};
use kit::outbox::Outbox;
use kit::subscription::Subscription;
use kit::worker::Wake;
use kit::{App, OwnCommand, Service, StartError, dead_letters, postgres};
use sqlx::PgPool;
use sqlx::migrate::Migrator;

use crate::events::Orders;
use crate::http::Api;
use crate::provider::{CreditProvider, Providers, StripeProvider, StripeSettings, TestProvider};
use crate::reconciliation::Reconciliation;
use crate::signature::Secrets;
use crate::worker::Worker;

static COMMANDS: [OwnCommand; 4] = [
    dead_letters::command(|env| Box::pin(replay(env))),
    OwnCommand {
        name: "reconcile",
        about: "Compares payments with the books of the providers since the backup that the shop was restored from.",
        run: |env| Box::pin(reconcile(env)),
    },
    OwnCommand {
        name: "refunds",
        about: "Lists the refunds that were asked for and are not done.",
        run: |env| Box::pin(refunds(env)),
    },
    OwnCommand {
        name: "retry-refunds",
        about: "Lets the refunds that have failed be tried again now rather than at their time.",
        run: |env| Box::pin(retry_refunds(env)),
    },
];

/// The service.
#[derive(Debug)]
pub struct Payment;

/// What it is configured by.
#[derive(Debug)]
pub struct Config {
    database: postgres::Settings,
    kafka: kafka::Settings,
    public_url: String,
    test: bool,
    stripe: Option<StripeSettings>,
    webhooks: HashMap<&'static str, Secrets>,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        let public_url = env.or(env::PUBLIC_URL, "http://localhost:8080".to_owned());
        let key = env.optional(env::STRIPE_API_KEY);
        // With the test provider anybody buys for nothing: beside Stripe it has to be asked for.
        let test = env.or(env::PAYMENT_TEST_PROVIDER, matches!(key, Some(None)));
        let url = env.or(env::STRIPE_API_URL, "https://api.stripe.com".to_owned());
        let stripes = env.optional(env::STRIPE_WEBHOOK_SECRETS);
        let tests = env.optional(env::PAYMENT_TEST_WEBHOOK_SECRETS);
        let (public_url, url) = (public_url?, url?);
        let return_url = format!("{public_url}/");
        let stripe = key?.map(|key| StripeSettings { key, url, return_url });
        let stripes = stripes?.filter(|_| stripe.is_some()).map(|s| (StripeProvider::NAME, s));
        let test = test?;
        let tests = tests?.filter(|_| test).map(|secrets| (TestProvider::NAME, secrets));
        Some(Self {
            database: database?,
            kafka: kafka?,
            public_url,
            test,
            stripe,
            webhooks: stripes.into_iter().chain(tests).collect(),
        })
    }
}

impl Config {
    /// The providers of the shop.
    fn providers(&self, pool: &PgPool) -> Result<Providers, StartError> {
        let mut providers = Providers::default().with(CreditProvider::new(pool.clone()));
        let test = TestProvider::new(pool.clone(), &self.public_url);
        // What it has charged before Stripe was turned on has to be refunded afterwards, too.
        providers = if self.test { providers.with(test) } else { providers.with_closed(test) };
        if let Some(stripe) = &self.stripe {
            providers = providers.with(StripeProvider::new(stripe.clone())?);
        }
        Ok(providers)
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
        let providers = config.providers(&pool)?;
        let orders =
            Orders { outbox: outbox.clone(), wake: wake.clone(), providers: providers.clone() };
        let inbox = orders.inbox(Self::NAME, pool.clone());
        let stop = app.stop.clone();
        let subscription =
            Subscription::new(&config.kafka, Self::NAME, inbox, producer.clone(), stop.clone())?;
        let api = Api {
            pool: pool.clone(),
            wake: wake.clone(),
            outbox: outbox.clone(),
            providers: providers.clone(),
            currency: app.common.currency,
            webhooks: config.webhooks,
        };
        let worker = Worker { pool: pool.clone(), outbox: outbox.clone(), providers };
        let worker = worker.run(wake, stop.clone());
        let relay = outbox.relay(pool.clone(), producer, stop);
        Ok(app
            .database(&pool)
            .http(http::router(api))
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
    let pool = config.database.pool(Payment::NAME)?;
    let providers = config.providers(&pool)?;
    let inbox = Orders { providers, ..Orders::default() }.inbox(Payment::NAME, pool);
    dead_letters::replay(&config.kafka, Payment::NAME, &inbox).await
}

/// Takes over what happened at providers after a backup, and lists what people have to look at.
async fn reconcile(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let pool = config.database.pool(Payment::NAME)?;
    let (outbox, providers) = (Outbox::default(), config.providers(&pool)?);
    let reconciliation = Reconciliation { pool: &pool, outbox: &outbox, providers: &providers };
    Ok(reconciliation.since_backup().await?.to_string())
}

/// Lists what is owed.
async fn refunds(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let pool = config.database.pool(Payment::NAME)?;
    let owed = db::owed_refunds(&mut *pool.acquire().await?).await?;
    let lines = owed.iter().map(|refund| {
        let reason = refund.failure_reason.as_deref().unwrap_or("no answer yet");
        let next = refund.next_attempt_at.format("%Y-%m-%d %H:%M UTC");
        let since = refund.created_at.format("%Y-%m-%d %H:%M UTC");
        format!(
            "order {} refund {}: {} by {} since {since}, failed {} times ({reason}), tried again at {next}",
            refund.order, refund.id, refund.amount, refund.provider, refund.retries,
        )
    });
    let head = std::iter::once(format!("{} refunds are owed", owed.len()));
    Ok(head.chain(lines).collect::<Vec<_>>().join("\n"))
}

/// The service that runs tries again.
async fn retry_refunds(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let pool = config.database.pool(Payment::NAME)?;
    let retried = db::retry_refunds(&mut *pool.acquire().await?).await?;
    Ok(format!("{retried} refunds are tried again"))
}
