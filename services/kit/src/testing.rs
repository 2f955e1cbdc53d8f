//! Runs a service inside a test, against the real Postgres, Redis and Kafka that
//! `cluster/engines up` has started: each test has a database, topics and keys of its own.

mod large_statements;
mod part_of_redis;
mod requests;
mod signer;
mod topics;

pub use large_statements::refuse_large_statements;
pub use part_of_redis::PartOfRedis;
pub use requests::send_when_available;
pub use signer::{ISSUER, Signer};

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;
use contracts::events::Event;
use contracts::topics::Aggregate;
use contracts::{EventId, UserId, env};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::{App, Bound};
use crate::auth::Role;
use crate::config::{Env, FromEnv};
use crate::dead_letters;
use crate::inbox::Delivery;
use crate::kafka::{Producer, Record, Settings};
use crate::postgres;
use crate::service::{Common, Service, StartError};

/// How long anything may take that a test waits for, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_mins(1);

/// A variable that `cluster/engines env` prints.
pub fn engine(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: eval \"$(cluster/engines env)\""))
}

/// A service that runs inside a test. Stops when dropped.
pub struct Running {
    /// Where it listens.
    pub bound: Bound,
    /// Signs tokens that it accepts.
    pub signer: Signer,
    /// Its database, if it has one.
    pub pool: Option<PgPool>,
    /// Its topics.
    pub kafka: Settings,
    variables: Vec<(String, String)>,
    client: reqwest::Client,
    producer: Producer,
    end: CancellationToken,
    handle: Option<JoinHandle<Result<(), StartError>>>,
}

impl Running {
    /// Starts a service, configured further by these variables.
    pub async fn start<S: Service>(further: &[(&str, &str)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (signer, prefix) = (Signer::new(), format!("t{}", Uuid::now_v7().simple()));
        let mut variables: Vec<(String, String)> = [
            (env::SHOP_NAME, "test"),
            (env::JWT_ISSUER, ISSUER),
            (env::JWT_AUDIENCE, ISSUER),
            (env::HTTP_ADDR, "127.0.0.1:0"),
            (env::GRPC_ADDR, "127.0.0.1:0"),
            (env::ADMIN_ADDR, "127.0.0.1:0"),
            (env::DRAIN_SECONDS, "0"),
            (env::KAFKA_TOPIC_PREFIX, &prefix),
            (env::JWKS_FILE, &signer.jwks_file.to_string_lossy()),
            (env::JWT_SIGNING_KEY_FILE, &signer.key_file.to_string_lossy()),
            (env::REDIS_URL, &engine("TEST_REDIS_URL")),
            (env::KAFKA_BROKERS, &engine("TEST_KAFKA_BROKERS")),
        ]
        .into_iter()
        .chain(further.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        let mut pool = None;
        if let Some(migrator) = S::migrator() {
            let url = create_database(S::NAME).await;
            variables.push((env::DATABASE_URL.to_owned(), url));
            let settings: postgres::Settings = parse(&variables);
            let fresh = settings.pool(S::NAME).expect("the URL is valid");
            postgres::migrate_up(&fresh, migrator).await.expect("migrations succeed");
            pool = Some(fresh);
        }
        let kafka: Settings = parse(&variables);
        // A service without events says so by an empty list of brokers.
        if !kafka.brokers.is_empty() {
            topics::create(&kafka).await;
        }
        let (bound, end, handle) = launch::<S>(&variables).await;
        let producer = Producer::new(&kafka, "test").expect("the settings are valid");
        let running = Self {
            bound,
            signer,
            pool,
            kafka,
            variables,
            client: reqwest::Client::new(),
            producer,
            end,
            handle: Some(handle),
        };
        running.ready().await;
        running
    }

    /// Stops it and starts it again where its data is, configured by these variables too.
    pub async fn restart<S: Service>(&mut self, further: &[(&str, &str)]) {
        self.end().await.expect("it stops as it should");
        for (name, value) in further {
            self.variables.push(((*name).to_owned(), (*value).to_owned()));
        }
        let (bound, end, handle) = launch::<S>(&self.variables).await;
        (self.bound, self.end, self.handle) = (bound, end, Some(handle));
        self.ready().await;
    }

    async fn ready(&self) {
        let url = format!("http://{}/ready", self.bound.admin);
        let ask = async || self.client.get(&url).send().await.ok()?.error_for_status().ok();
        eventually("the service is ready", ask).await;
    }

    /// A request to its HTTP API.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("http://{}{path}", self.bound.http))
    }

    /// A request by this user.
    pub fn request_as(
        &self,
        user: UserId,
        roles: &[Role],
        method: &str,
        path: &str,
    ) -> reqwest::RequestBuilder {
        self.request(method, path).bearer_auth(self.signer.token(user, roles))
    }

    /// What it has measured.
    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.bound.admin);
        let answer = self.client.get(url).send().await.expect("the admin port answers");
        answer.text().await.expect("metrics are text")
    }

    /// Tells it an event, as another service would. Returns the id, for telling it again.
    pub async fn publish<E: Event>(&self, event: &E) -> EventId {
        let id = EventId::new();
        self.publish_as(id, event).await;
        id
    }

    /// Tells it an event under this id.
    pub async fn publish_as<E: Event>(&self, id: EventId, event: &E) {
        let record = Record {
            id,
            r#type: E::TYPE.to_owned(),
            subject: event.aggregate_id(),
            time: Utc::now(),
            traceparent: None,
            payload: serde_json::to_vec(event).expect("events are plain values"),
        };
        self.producer.send(E::AGGREGATE, &record).await.expect("Kafka takes the event");
    }

    /// Waits for an event of type `E` about this aggregate on its way out through Kafka.
    pub async fn published<E: Event>(&self, subject: Uuid) -> E {
        self.published_where(subject, |_| true).await
    }

    /// Same, of several the first that fits.
    pub async fn published_where<E: Event>(&self, subject: Uuid, fits: impl Fn(&E) -> bool) -> E {
        let topic = E::AGGREGATE.topic(&self.kafka.topic_prefix);
        self.found(&topic, |message| {
            let record = Record::from_message(message).expect("an event of ours");
            let wanted = record.r#type == E::TYPE && record.subject == subject;
            let event =
                wanted.then(|| Delivery::from_record(&record).expect("the payload fits").event);
            event.filter(&fits)
        })
        .await
    }

    /// Waits until the event with this id is a dead letter; returns why it is one.
    pub async fn buried(&self, aggregate: Aggregate, id: EventId) -> String {
        let topic = aggregate.dead_letter_topic(&self.kafka.topic_prefix);
        self.found(&topic, |message| {
            Record::from_message(message).ok().filter(|record| record.id == id)?;
            let headers = message.headers().expect("the headers have just been read");
            let reason = headers.iter().find(|header| header.key == dead_letters::REASON);
            let reason = reason.and_then(|header| header.value).unwrap_or_default();
            Some(String::from_utf8_lossy(reason).into_owned())
        })
        .await
    }

    /// Reads a topic from its beginning until something in it is what is wanted.
    async fn found<T>(&self, topic: &str, pick: impl Fn(&OwnedMessage) -> Option<T>) -> T {
        let consumer: StreamConsumer = self
            .kafka
            .client()
            .set("group.id", Uuid::now_v7().to_string())
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("the settings are valid");
        consumer.subscribe(&[topic]).expect("a topic");
        let search = async {
            loop {
                // A new topic is not known everywhere at once; librdkafka asks again by itself.
                let Ok(message) = consumer.recv().await else { continue };
                if let Some(found) = pick(&message.detach()) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search)
            .await
            .unwrap_or_else(|_| panic!("not in {topic} within {PATIENCE:?}"))
    }

    /// Fills it as its command `seed` would.
    pub async fn seed<S: Service>(&self) -> Result<(), StartError> {
        S::seed(parse(&self.variables), parse(&self.variables)).await
    }

    /// Runs one of its own commands, as if it were typed beside the running service. Returns what
    /// it says.
    pub async fn command<S: Service>(&self, name: &str) -> Result<String, StartError> {
        let own = S::commands().iter().find(|own| own.name == name).expect("there is the command");
        (own.run)(Env::new(self.variables.iter().cloned())).await
    }

    /// Its database.
    pub fn pool(&self) -> &PgPool {
        self.pool.as_ref().expect("the service has a database")
    }

    /// Stops it as SIGTERM would and returns how it ended.
    pub async fn stop(mut self) -> Result<(), StartError> {
        self.end().await
    }

    async fn end(&mut self) -> Result<(), StartError> {
        self.end.cancel();
        let handle = self.handle.take().expect("stopped once");
        handle.await.expect("the service does not panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end.cancel();
        if self.kafka.brokers.is_empty() {
            return;
        }
        // A broker that keeps the topics of a thousand tests runs out of memory. The thread is
        // waited for, because the process may end with this test.
        let kafka = self.kafka.clone();
        let _ = std::thread::spawn(move || topics::remove(&kafka)).join();
    }
}

/// Polls until there is an answer; fails the test when there is none in time.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut poll: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = poll().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until so many sessions of a database wait for a lock.
pub async fn waiting(pool: &PgPool, sessions: i64) {
    eventually("they wait for a lock", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(pool).await.ok()?;
        (waiting >= sessions).then_some(())
    })
    .await;
}

/// Compares the service's OpenAPI document with `openapi.json` in its folder.
pub fn check_openapi<S: Service>(folder: &str) {
    let file = PathBuf::from(folder).join("openapi.json");
    let document =
        crate::openapi::of::<S>().to_pretty_json().expect("the document is plain values") + "\n";
    check_references(&document);
    check_ids(&document);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, document).expect("the folder is writable");
        return;
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stored == document, "{} is stale: run `make generate`", file.display());
}

/// Whatever a document refers to is in it: who generates clients or tests from it would fail, or skip the part.
fn check_references(document: &str) {
    let value: serde_json::Value = serde_json::from_str(document).expect("it has just been made");
    let references = document.split("\"$ref\": \"#").skip(1).filter_map(|r| r.split('"').next());
    for pointer in references {
        assert!(value.pointer(pointer).is_some(), "nothing is at {pointer}");
    }
}

/// Generated clients call their functions by the ids of operations.
fn check_ids(document: &str) {
    let mut seen = BTreeSet::new();
    let ids = document.split("\"operationId\": \"").skip(1).filter_map(|r| r.split('"').next());
    for id in ids {
        assert!(seen.insert(id), "two operations are called {id}");
    }
}

async fn launch<S: Service>(
    variables: &[(String, String)],
) -> (Bound, CancellationToken, JoinHandle<Result<(), StartError>>) {
    let app = App::new::<S>(parse::<Common>(variables)).await.expect("ports are free");
    let app = S::build(parse(variables), app).await.expect("the service starts");
    let (bound, end) = (app.bound(), CancellationToken::new());
    (bound, end.clone(), tokio::spawn(app.run(end.cancelled_owned())))
}

fn parse<T: FromEnv>(variables: &[(String, String)]) -> T {
    Env::new(variables.iter().cloned()).parse().expect("the configuration is complete")
}

async fn create_database(service: &str) -> String {
    let admin_url = engine("TEST_DATABASE_URL");
    let admin = PgPool::connect(&admin_url).await.expect("Postgres answers");
    let name = format!("test_{service}_{}", Uuid::now_v7().simple());
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&admin)
        .await
        .expect("a database can be made");
    let (server, _) = admin_url.rsplit_once('/').expect("the URL names a database");
    format!("{server}/{name}")
}
