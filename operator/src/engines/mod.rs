//! The steps that talk to Postgres, Redis, Kafka and the object store.

mod databases;
mod topics;

pub use databases::Schemas;
pub use topics::claim_topics;

use std::collections::BTreeMap;

use operator_core::build::{DatabasePlan, TopicPlan};
use operator_core::crd::{CredentialsSecretRef, Shop, SslMode};
use operator_core::credentials::{self, Content, Credentials};
use operator_core::names;
use operator_core::object::Object;
use operator_core::role::EngineKind;
use operator_core::status::{Part, Reason};
use operator_core::validate::{CacheEngine, ObjectStoreEngine, ValidatedShop};
use rdkafka::ClientConfig;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::apply::{Applier, Live};
use crate::context::{Context, Engine};
use crate::error::Error;
use crate::observe::has_ready_pod;
use crate::topics::{Login, client, knock};

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
    /// Secrets that the operator does not keep.
    pub secrets: &'a BTreeMap<String, Content>,
    /// The bundled engines, as they stand.
    pub bundled: &'a [(&'a Object, Live)],
}

/// A part, and what went wrong with it if it is worth another try.
pub type Step = (Part, Option<Error>);

impl Engines<'_> {
    /// Whether Redis answers.
    pub async fn cache(&self) -> Step {
        let (url, bundled) = match &self.valid.cache {
            CacheEngine::Bundled(_) => (None, true),
            CacheEngine::External { url, .. } => {
                (self.secrets.get(&url.name).and_then(|content| content.get(&url.key)), false)
            }
        };
        let wish = self.wish(&url);
        if let Some(known) = self.known(Engine::Cache, bundled.then_some(EngineKind::Redis), &wish)
        {
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
            && knock(&address).await
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
        if let Some(known) =
            self.known(Engine::Objects, bundled.then_some(EngineKind::Objects), &wish)
        {
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
            && knock(&address).await
        {
            return self.remember(Engine::Objects, wish, ready);
        }
        let text = "the object store does not answer";
        (Part::Waiting(Reason::ObjectStoreUnreachable, text.to_owned()), None)
    }

    /// How the administrator of the Postgres server logs in.
    fn admin(&self, plan: &DatabasePlan) -> PgConnectOptions {
        admin(plan, &self.login(&plan.admin).unwrap_or_default())
    }

    /// How the administrator of the topics connects.
    fn brokers(&self, plan: &TopicPlan) -> ClientConfig {
        let login = plan.security.secret_ref.as_ref().and_then(|secret| self.login(secret));
        client(plan, login.as_ref())
    }

    /// User name and password from a Secret, the operator's or not.
    fn login(&self, secret: &CredentialsSecretRef) -> Option<Login> {
        let get = |key: &str| {
            let foreign = self.secrets.get(&secret.name).and_then(|content| content.get(key));
            foreign.map(String::as_str).or_else(|| self.credentials.get(&secret.name, key))
        };
        Some((get(&secret.username_key)?.to_owned(), get(&secret.password_key)?.to_owned()))
    }

    /// What is known without talking to the engine: that a bundled one has no ready pod, that
    /// writes are stopped, or that the same wish was found true a while ago.
    fn known(&self, engine: Engine, bundled: Option<EngineKind>, wish: &str) -> Option<Part> {
        let found = || self.context.checks.recall(&self.applier.shop, engine, wish);
        self.absent(bundled).or_else(found).or_else(|| self.paused())
    }

    /// That a bundled engine has no ready pod.
    fn absent(&self, bundled: Option<EngineKind>) -> Option<Part> {
        let engine = bundled.filter(|engine| !self.has_ready_pod(*engine))?;
        Some(Part::Waiting(Reason::Starting, format!("{engine} has no ready pod yet")))
    }

    fn paused(&self) -> Option<Part> {
        let text = "not checked while writes are stopped".to_owned();
        self.applier.paused.then_some(Part::Waiting(Reason::PausedByAnnotation, text))
    }

    fn has_ready_pod(&self, engine: EngineKind) -> bool {
        self.bundled.iter().any(|(object, live)| {
            object.role() == Some(engine.into()) && live.seen.as_ref().is_some_and(has_ready_pod)
        })
    }

    /// Everything that a check depends on, as a short text.
    fn wish(&self, plan: &impl std::fmt::Debug) -> String {
        let foreign: Vec<String> = self.secrets.values().map(credentials::hash).collect();
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

fn starting(engine: &str) -> Step {
    (Part::Waiting(Reason::Starting, format!("{engine} does not accept connections yet")), None)
}

fn failed(error: Error) -> Step {
    (Part::Failed(error.reason(), error.message()), Some(error))
}
