//! The steps that talk to Postgres, Redis, Kafka and the object store.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use rdkafka::ClientConfig;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::apply::{Applier, Live};
use crate::build::{DatabasePlan, SecretKey, TopicPlan};
use crate::context::{Context, Engine};
use crate::crd::{CredentialsSecretRef, Shop, SslMode};
use crate::credentials::{Content, Credentials};
use crate::databases::{self, Admin, Owned};
use crate::error::Error;
use crate::names;
use crate::object::Object;
use crate::observe::has_ready_pod;
use crate::status::{Part, Reason};
use crate::topics::{self, Login};
use crate::validate::{
    CacheEngine, DatabaseEngine, EventsEngine, ObjectStoreEngine, ValidatedShop,
};

/// What the steps with engines work with.
pub struct Engines<'a> {
    /// What every reconciliation shares.
    pub context: &'a Context,
    /// The Shop.
    pub shop: &'a Shop,
    /// The Shop, resolved.
    pub valid: &'a ValidatedShop,
    /// Who applies, and whether it may.
    pub applier: &'a Applier<'a>,
    /// Secrets that the operator keeps.
    pub credentials: &'a Credentials,
    /// Secrets that somebody else keeps.
    pub secrets: &'a BTreeMap<String, Content>,
    /// The bundled engines, as they stand.
    pub bundled: &'a [(&'a Object, Live)],
}

/// A part, and what went wrong with it if it is worth another try.
pub type Step = (Part, Option<Error>);

impl Engines<'_> {
    /// Makes a role and a database for every service.
    pub async fn databases(&self, plan: &DatabasePlan) -> Step {
        let bundled = matches!(self.valid.database, DatabaseEngine::Bundled(_));
        let wish = self.wish(plan);
        if let Some(known) = self.known(Engine::Database, bundled.then_some(names::POSTGRES), &wish)
        {
            return (known, None);
        }
        match self.ensure_databases(plan).await {
            Ok(()) => {
                let text = format!("{} databases are there", plan.databases.len());
                self.remember(Engine::Database, wish, Part::Ready(Reason::DatabasesReady, text))
            }
            Err(databases::Error::Unreachable(_)) if bundled => starting("Postgres"),
            Err(error) => failed(error.into()),
        }
    }

    /// Whether Redis answers.
    pub async fn cache(&self) -> Step {
        let (url, bundled) = match &self.valid.cache {
            CacheEngine::Bundled(_) => (None, true),
            CacheEngine::External { url, .. } => {
                (self.secrets.get(&url.name).and_then(|content| content.get(&url.key)), false)
            }
        };
        let wish = self.wish(&url);
        if let Some(known) = self.known(Engine::Cache, bundled.then_some(names::REDIS), &wish) {
            return (known, None);
        }
        let ready = Part::Ready(Reason::CacheReady, "Redis answers".to_owned());
        if bundled {
            return (ready, None);
        }
        let address = url
            .and_then(|url| Url::parse(url).ok())
            .and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port().unwrap_or(6379))));
        if let Some(address) = address
            && topics::knock(&address).await
        {
            return self.remember(Engine::Cache, wish, ready);
        }
        (Part::Waiting(Reason::CacheUnreachable, "Redis does not answer".to_owned()), None)
    }

    /// Whether the object store answers.
    pub async fn object_store(&self) -> Step {
        let (endpoint, bundled) = match &self.valid.object_store {
            ObjectStoreEngine::Bundled(_) => (None, true),
            ObjectStoreEngine::External(store) => (Some(&store.endpoint), false),
        };
        let wish = self.wish(&endpoint);
        if let Some(known) = self.known(Engine::Objects, bundled.then_some(names::OBJECTS), &wish) {
            return (known, None);
        }
        let ready = Part::Ready(Reason::ObjectStoreReady, "the object store answers".to_owned());
        if bundled {
            return (ready, None);
        }
        let address = endpoint
            .and_then(|endpoint| Url::parse(endpoint).ok())
            .and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
        if let Some(address) = address
            && topics::knock(&address).await
        {
            return self.remember(Engine::Objects, wish, ready);
        }
        let text = "the object store does not answer";
        (Part::Waiting(Reason::ObjectStoreUnreachable, text.to_owned()), None)
    }

    /// Makes the topics, as far as that is safe. Says too in whose Kafka cluster the Shop has them, if
    /// that is not its own.
    pub async fn topics(&self, plan: &TopicPlan) -> (Step, Option<String>) {
        let bundled = matches!(self.valid.events, EventsEngine::Bundled(_));
        let before = self.shop.status.as_ref().and_then(|status| status.kafka_cluster_id.clone());
        let wish = self.wish(plan);
        // Without its cluster in the status a claim does not stand: writing it may have met a conflict.
        let stands = bundled || before.is_some() || self.applier.paused;
        if stands
            && let Some(known) = self.known(Engine::Events, bundled.then_some(names::KAFKA), &wish)
        {
            return ((known, None), before);
        }
        match self.ensure_topics(plan).await {
            Ok((report, cluster)) => {
                self.warn_of_growth(&report).await;
                let part = if report.refused.is_empty() {
                    Part::Ready(
                        Reason::TopicsReady,
                        format!("{} topics are there", plan.topics.len()),
                    )
                } else {
                    Part::Failed(Reason::TopicChangeRefused, report.refused.join("; "))
                };
                (self.remember(Engine::Events, wish, part), cluster)
            }
            Err(Error::Topics(topics::Error::Unreachable(_))) if bundled => {
                (starting("Kafka"), None)
            }
            Err(error @ Error::Topics(topics::Error::Taken { .. })) => (failed(error), None),
            Err(error) => (failed(error), before),
        }
    }

    async fn ensure_topics(
        &self,
        plan: &TopicPlan,
    ) -> Result<(topics::Report, Option<String>), Error> {
        if !topics::answers(plan).await {
            return Err(topics::Error::Unreachable(None).into());
        }
        let brokers = self.brokers(plan);
        if let EventsEngine::Bundled(_) = self.valid.events {
            // Its topics can be nobody else's.
            return Ok((topics::ensure(brokers, plan.topics.clone()).await?, None));
        }
        let cluster = claim_topics(self.shop, self.context, &brokers).await?;
        let report = self.ensure_own_topics(plan, &brokers, &cluster).await?;
        Ok((report, Some(cluster)))
    }

    /// Makes the topics in somebody else's brokers, unless one is there that is not the Shop's.
    async fn ensure_own_topics(
        &self,
        plan: &TopicPlan,
        brokers: &ClientConfig,
        cluster: &str,
    ) -> Result<topics::Report, Error> {
        let adopts = self.shop.spec.topics.adopt_existing;
        let refuse = |foreign: BTreeSet<String>| match foreign.is_empty() || adopts {
            true => Ok(()),
            false => Err(topics::Error::Foreign { topics: foreign.into_iter().collect() }),
        };
        let mut record = topics::Record::read(self.applier, self.shop).await?;
        let own = record.topics(cluster);
        let wanted: BTreeSet<_> = plan.topics.iter().map(|topic| topic.name.clone()).collect();
        let present = topics::existing(brokers.clone(), wanted.clone()).await?;
        refuse(&present - &own)?;
        // Before they are made: after a crash nobody could say whose they are.
        record.add(cluster, &wanted);
        record.write(self.applier).await?;
        let report = topics::ensure(brokers.clone(), plan.topics.clone()).await?;
        let quicker: BTreeSet<_> = report.existed.iter().cloned().collect();
        let foreign = &quicker - &own;
        if !adopts && !foreign.is_empty() {
            record.remove(cluster, &foreign);
            record.write(self.applier).await?;
        }
        refuse(foreign)?;
        Ok(report)
    }

    async fn warn_of_growth(&self, report: &topics::Report) {
        if report.grown.is_empty() {
            return;
        }
        let grown = report.grown.join(", ");
        let note = format!(
            "{grown} have more partitions now; events with the same key may be out of order once"
        );
        self.context.events.warn(self.shop, Reason::PartitionsGrown, "Events", &note).await;
    }

    async fn ensure_databases(&self, plan: &DatabasePlan) -> Result<(), databases::Error> {
        let mut admin = Admin::connect(self.admin(plan)).await?;
        for spec in &plan.databases {
            let owned = Owned { database: spec.database.clone(), role: spec.role.clone() };
            let password =
                self.credentials.get(&spec.secret, SecretKey::PASSWORD).unwrap_or_default();
            admin.ensure(&owned, password).await?;
        }
        admin.close().await;
        Ok(())
    }

    /// How the administrator of the Postgres server logs in.
    fn admin(&self, plan: &DatabasePlan) -> PgConnectOptions {
        admin(plan, &self.login(&plan.admin).unwrap_or_default())
    }

    /// How the administrator of the topics connects.
    fn brokers(&self, plan: &TopicPlan) -> ClientConfig {
        let login = plan.security.secret_ref.as_ref().and_then(|secret| self.login(secret));
        topics::client(plan, login.as_ref())
    }

    /// User name and password from a Secret, whoever keeps it.
    fn login(&self, secret: &CredentialsSecretRef) -> Option<Login> {
        let get = |key: &str| {
            let foreign = self.secrets.get(&secret.name).and_then(|content| content.get(key));
            foreign.map(String::as_str).or_else(|| self.credentials.get(&secret.name, key))
        };
        Some((get(&secret.username_key)?.to_owned(), get(&secret.password_key)?.to_owned()))
    }

    /// What is known without talking to the engine: that a bundled one has no ready pod, that
    /// writes are stopped, or that the same wish was found true a while ago.
    fn known(&self, engine: Engine, bundled: Option<&str>, wish: &str) -> Option<Part> {
        if let Some(component) = bundled
            && !self.has_ready_pod(component)
        {
            return Some(Part::Waiting(
                Reason::Starting,
                format!("{component} has no ready pod yet"),
            ));
        }
        if let Some(part) = self.context.checks.recall(&self.applier.shop, engine, wish) {
            return Some(part);
        }
        let paused = || {
            Part::Waiting(
                Reason::PausedByAnnotation,
                "not checked while writes are stopped".to_owned(),
            )
        };
        self.applier.paused.then(paused)
    }

    fn has_ready_pod(&self, component: &str) -> bool {
        self.bundled.iter().any(|(object, live)| {
            let labels = object.body.metadata.labels.as_ref();
            labels.and_then(|l| l.get(names::COMPONENT_LABEL)).is_some_and(|c| c == component)
                && live.seen.as_ref().is_some_and(has_ready_pod)
        })
    }

    /// Everything that a check depends on, as a short text.
    fn wish(&self, plan: &impl std::fmt::Debug) -> String {
        let foreign: Vec<String> = self.secrets.values().map(crate::credentials::hash).collect();
        names::hash(&format!("{plan:?}{:?}{foreign:?}", self.credentials.hashes()))
    }

    fn remember(&self, engine: Engine, wish: String, part: Part) -> Step {
        self.context.checks.note(&self.applier.shop, engine, wish, part.clone());
        (part, None)
    }
}

/// How the administrator of a Postgres server logs in.
pub fn admin(plan: &DatabasePlan, (user, password): &Login) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&plan.host)
        .port(plan.port)
        .username(user)
        .password(password)
        .database("postgres")
        .application_name(names::OPERATOR)
        .ssl_mode(match plan.ssl_mode {
            SslMode::Disable => PgSslMode::Disable,
            SslMode::Prefer => PgSslMode::Prefer,
            SslMode::Require => PgSslMode::Require,
        })
}

/// Makes sure that the topics in somebody else's brokers are no other Shop's; returns the id of the brokers' cluster.
pub async fn claim_topics(
    shop: &Shop,
    context: &Context,
    brokers: &ClientConfig,
) -> Result<String, topics::Error> {
    let cluster = topics::cluster_id(brokers.clone()).await?;
    match topics::holder(shop, &cluster, &context.shops.all().await) {
        None => Ok(cluster),
        Some(other) => Err(topics::Error::Taken {
            prefix: topics::prefix(shop),
            holder: format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()),
        }),
    }
}

fn starting(engine: &str) -> Step {
    (Part::Waiting(Reason::Starting, format!("{engine} does not accept connections yet")), None)
}

fn failed(error: Error) -> Step {
    (Part::Failed(error.reason(), error.message()), Some(error))
}
