//! Tells shoppers what has become of their orders: by e-mail, and live to their browsers.

pub mod db;
mod delivery;
pub mod events;
pub mod http;
pub mod hub;
pub mod letter;
pub mod live;
pub mod mail;
pub mod phone;
pub mod preferences;
pub mod sms;
pub mod socket;

use std::sync::Arc;
use std::time::Duration;

use contracts::env;
use contracts::mail::{MailAddress, MailFrom};
use kit::config::{Env, FromEnv};
use kit::kafka::Producer;
use kit::secret::Secret;
use kit::subscription::Subscription;
use kit::worker::Wake;
use kit::{App, OwnCommand, Service, StartError, dead_letters, kafka, postgres};
use lettre::Address;
use lettre::message::Mailbox;
use sqlx::migrate::Migrator;

use crate::events::Wakes;
use crate::hub::Hub;
use crate::letter::Sender;
use crate::mail::Mailer;
use crate::phone::destination::Countries;
use crate::sms::Texter;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How often messages are looked for that nobody has told of: retries, and those of a dead process.
const POLL: Duration = Duration::from_secs(2);
/// How often old rows are removed.
const PURGE_INTERVAL: Duration = Duration::from_mins(10);

static COMMANDS: [OwnCommand; 2] = [
    dead_letters::command(|env| Box::pin(replay(env))),
    OwnCommand {
        name: "resend",
        about: "Sends the messages again that were given up; those whose link has gone stay so.",
        run: |env| Box::pin(resend(env)),
    },
];

/// The notification service.
#[derive(Clone, Copy, Debug)]
pub struct Notification;

/// What it is configured by.
#[derive(Debug)]
pub struct Config {
    database: postgres::Settings,
    kafka: kafka::Settings,
    smtp_url: Secret,
    mail_from: Mailbox,
    staff: Option<Address>,
    sms: Option<sms::Settings>,
    sms_countries: Countries,
    public_url: String,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let kafka = kafka::Settings::from_env(env);
        let smtp_url = env.required(env::SMTP_URL);
        let mail_from: Option<MailFrom> = env.required(env::MAIL_FROM);
        let staff: Option<Option<MailAddress>> = env.optional(env::STAFF_EMAIL);
        let public_url: Option<String> = env.required(env::PUBLIC_URL);
        // Who names a provider has a token for it.
        let sms = match env.optional(env::SMS_URL) {
            None => None,
            Some(None) => Some(None),
            Some(Some(url)) => {
                env.required(env::SMS_TOKEN).map(|token| Some(sms::Settings { url, token }))
            }
        };
        let sms_countries = env.or(env::SMS_COUNTRIES, Countries::default());
        Some(Self {
            database: database?,
            kafka: kafka?,
            smtp_url: smtp_url?,
            mail_from: mail_from?.0,
            staff: staff?.map(|staff| staff.0),
            sms: sms?,
            sms_countries: sms_countries?,
            public_url: public_url?.trim_end_matches('/').to_owned(),
        })
    }
}

impl Config {
    /// Whom events give something to send.
    fn wakes(&self) -> Wakes {
        Wakes {
            mail: Wake::default(),
            sms: self.sms.is_some().then(Wake::default),
            staff: self.staff.is_some(),
        }
    }
}

impl Service for Notification {
    const NAME: &'static str = "notification";
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
        let (hub, stop) = (Hub::default(), app.stop.clone());
        let wakes = config.wakes();
        let sms = config.sms.is_some().then(|| Arc::new(config.sms_countries));
        let wake_sms = wakes.sms.clone().unwrap_or_default();
        let sender = Sender { shop: app.common.shop.clone(), url: config.public_url };
        let texter = config.sms.map(|sms| Texter::new(sms, sender.clone(), pool.clone()));
        let texter = texter.transpose()?;
        let from = (sender, config.mail_from);
        let mailer = Mailer::new(from, config.staff, &config.smtp_url, pool.clone())?;
        let inbox = events::inbox(Self::NAME, pool.clone(), &wakes);
        let subscription =
            Subscription::new(&config.kafka, Self::NAME, inbox, producer, stop.clone())?;
        let state = http::State {
            pool: pool.clone(),
            hub: hub.clone(),
            max_sockets: max_sockets(app.common.listen.http_connections(false)),
            sms,
            wake: wake_sms.clone(),
            stop: stop.clone(),
        };
        let (mail_stop, sms_stop) = (stop.clone(), stop.clone());
        Ok(app
            .database(&pool)
            .http(http::routes().with_state(state).into())
            .task("inbox", subscription.run())
            .task("live", hub.run(pool.clone(), stop.clone()))
            .task("mail", async move {
                wakes.mail.run("mail", POLL, &mail_stop, || mailer.clone().round()).await;
                Ok::<_, StartError>(())
            })
            .task("sms", async move {
                match texter {
                    Some(texter) => {
                        wake_sms.run("sms", POLL, &sms_stop, || texter.clone().round()).await;
                    }
                    None => sms_stop.cancelled().await,
                }
                Ok::<_, StartError>(())
            })
            .task("purge", async move {
                let purge = || async { db::purge::run(&pool).await.map(|()| 0) };
                Wake::default().run("purge", PURGE_INTERVAL, &stop, purge).await;
                Ok::<_, StartError>(())
            }))
    }
}

/// Of so many connections; an eighth is for requests that are none.
fn max_sockets(connections: usize) -> usize {
    connections - connections.div_ceil(8)
}

/// Processes dead letters again.
async fn replay(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let pool = config.database.pool(Notification::NAME)?;
    let inbox = events::inbox(Notification::NAME, pool, &config.wakes());
    dead_letters::replay(&config.kafka, Notification::NAME, &inbox).await
}

/// Queues what was given up; the service that runs sends it.
async fn resend(env: Env) -> Result<String, StartError> {
    let config: Config = env.parse()?;
    let pool = config.database.pool(Notification::NAME)?;
    let (queued, left) = db::resend(&pool).await?;
    Ok(format!("{queued} messages are tried again, {left} stay given up"))
}
