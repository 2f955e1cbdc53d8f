//! What the steps with I/O of their own work from: Secrets to ensure, databases and topics to make.

use std::collections::BTreeMap;

use contracts::topics::Aggregate;

use crate::{
    components::Need,
    crd::{CredentialsSecretRef, KafkaSecurity, ServiceName, SslMode},
    names,
    role::{EngineKind, Role},
    validate::{CacheEngine, DatabaseEngine, EventsEngine, ObjectStoreEngine, ValidatedShop},
};

/// Port of Postgres.
pub(crate) const POSTGRES_PORT: u16 = 5432;
/// Port of Redis.
pub(crate) const REDIS_PORT: u16 = 6379;
/// Port of Kafka for clients.
pub(crate) const KAFKA_PORT: u16 = 9092;
/// Port of the object store.
pub(crate) const OBJECTS_PORT: u16 = 9000;

/// A Secret to ensure: made once, never made again while it has its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct CredentialSpec {
    /// Name of the Secret.
    pub name: String,
    /// Labels of the Secret.
    pub labels: BTreeMap<String, String>,
    /// UID of the Shop, which the Secret is marked with.
    pub shop_uid: String,
    /// What it holds.
    pub kind: CredentialKind,
}

/// What a Secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// `username` and `password` of a server's superuser.
    AdminPassword {
        /// The superuser.
        username: String,
    },
    /// `password` of a Redis server and the `url` with it.
    Password {
        /// Host of the server.
        host: String,
        /// Port of the server.
        port: u16,
    },
    /// `username`, `password`, `database` and `url` of a service's database.
    Database {
        /// Login role, owner of the database.
        user: String,
        /// Database.
        database: String,
        /// Host of the server.
        host: String,
        /// Port of the server.
        port: u16,
        /// Encryption.
        ssl_mode: SslMode,
    },
    /// `key.pem`: an Ed25519 private key as PKCS#8 PEM; `next.pem`: the one after it.
    SigningKey {
        /// A value that was not there before asks for a rotation.
        requested: Option<String>,
    },
    /// `jwks.json`: the public keys of the current, next and previous [`CredentialKind::SigningKey`].
    PublicKeys {
        /// Name of the Secret with the private key.
        signing_key: String,
    },
    /// `accessKey` and `secretKey` of an object store.
    ObjectKeys {
        /// Id of the key.
        access_key: String,
    },
    /// `email` and `password` of the first administrator.
    AdminAccount {
        /// E-mail address.
        email: String,
    },
}

/// Keys in the Secrets that the operator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretKey;

impl SecretKey {
    /// A login name.
    pub const USERNAME: &str = "username";
    /// A password.
    pub const PASSWORD: &str = "password";
    /// Name of a database.
    pub const DATABASE: &str = "database";
    /// A URL with credentials.
    pub const URL: &str = "url";
    /// A private key as PKCS#8 PEM.
    pub const SIGNING_KEY: &str = "key.pem";
    /// The private key that signs after a rotation, as PKCS#8 PEM.
    pub const NEXT_KEY: &str = "next.pem";
    /// The public half of the key that signed before, as a JSON Web Key.
    pub const PREVIOUS_KEY: &str = "previous.json";
    /// When the next key was made and published, which is when the current one began to sign (RFC 3339).
    pub const PUBLISHED_AT: &str = "publishedAt";
    /// The last request for a rotation that was answered.
    pub const ROTATION_REQUEST: &str = "rotationRequest";
    /// A JSON Web Key Set.
    pub const PUBLIC_KEYS: &str = "jwks.json";
    /// Id of a key of an object store.
    pub const ACCESS_KEY: &str = "accessKey";
    /// A key of an object store.
    pub const SECRET_KEY: &str = "secretKey";
    /// An e-mail address.
    pub const EMAIL: &str = "email";
}

/// The Postgres server, and the databases to make in it.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabasePlan {
    /// Host of the server.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// Encryption.
    pub ssl_mode: SslMode,
    /// Secret with the role that makes databases and roles.
    pub admin: CredentialsSecretRef,
    /// Databases to make.
    pub databases: Vec<DatabaseSpec>,
}

/// One service's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSpec {
    /// The service.
    pub service: ServiceName,
    /// Name of the database.
    pub database: String,
    /// Login role, owner of the database.
    pub role: String,
    /// Secret with the role's password.
    pub secret: String,
}

/// The Kafka cluster, and the topics to make in it.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicPlan {
    /// Brokers to ask first, each as `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// Encryption and authentication.
    pub security: KafkaSecurity,
    /// Topics to make.
    pub topics: Vec<TopicSpec>,
}

/// One topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name of the topic.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Brokers that keep a copy.
    pub replication_factor: i32,
    /// Milliseconds that a record is kept for.
    pub retention_ms: i64,
}

/// The Secrets that a shop needs and the operator makes.
pub fn credentials(shop: &ValidatedShop) -> Vec<CredentialSpec> {
    let secret = |name: &str, role: Role, kind| CredentialSpec {
        name: names::child(&shop.name, name),
        labels: names::object_labels(&shop.name, role),
        shop_uid: shop.owner.uid.clone(),
        kind,
    };
    let engine = |engine: EngineKind, kind| secret(engine.as_str(), engine.into(), kind);
    let mut secrets = Vec::new();
    if let DatabaseEngine::Bundled(_) = shop.database {
        let kind = CredentialKind::AdminPassword { username: "postgres".into() };
        secrets.push(engine(EngineKind::Postgres, kind));
    }
    if let CacheEngine::Bundled(_) = shop.cache {
        let kind =
            CredentialKind::Password { host: shop.host_of(EngineKind::Redis), port: REDIS_PORT };
        secrets.push(engine(EngineKind::Redis, kind));
    }
    if let ObjectStoreEngine::Bundled(_) = shop.object_store {
        let kind = CredentialKind::ObjectKeys { access_key: shop.name.clone() };
        secrets.push(engine(EngineKind::Objects, kind));
    }
    let plan = databases(shop);
    secrets.extend(plan.databases.into_iter().map(|spec| {
        let kind = CredentialKind::Database {
            user: spec.role,
            database: spec.database,
            host: plan.host.clone(),
            port: plan.port,
            ssl_mode: plan.ssl_mode,
        };
        secret(&format!("{}-database", spec.service), spec.service.into(), kind)
    }));
    let user = Role::from(ServiceName::User);
    let signing_key = names::child(&shop.name, names::SIGNING_KEY);
    let requested = shop.key_rotation.clone();
    let email = format!("admin@{}", shop.mail_domain());
    secrets.extend([
        secret(names::SIGNING_KEY, user, CredentialKind::SigningKey { requested }),
        secret(names::PUBLIC_KEYS, user, CredentialKind::PublicKeys { signing_key }),
        secret(names::ADMIN, user, CredentialKind::AdminAccount { email }),
    ]);
    secrets
}

/// The databases that a shop needs.
pub fn databases(shop: &ValidatedShop) -> DatabasePlan {
    let (host, port, ssl_mode, admin) = match &shop.database {
        DatabaseEngine::Bundled(_) => (
            shop.host_of(EngineKind::Postgres),
            POSTGRES_PORT,
            SslMode::Disable,
            CredentialsSecretRef {
                name: names::child(&shop.name, EngineKind::Postgres),
                username_key: SecretKey::USERNAME.into(),
                password_key: SecretKey::PASSWORD.into(),
            },
        ),
        DatabaseEngine::External { host, port, admin, ssl_mode } => {
            (host.clone(), *port, *ssl_mode, admin.clone())
        }
    };
    let databases = shop
        .services
        .iter()
        .filter(|service| service.component.needs(Need::Database))
        .map(|service| {
            let name = service.component.name;
            let database = names::database(&shop.namespace, &shop.name, name);
            let secret = names::database_secret(&shop.name, name);
            DatabaseSpec { service: name, role: database.clone(), database, secret }
        })
        .collect();
    DatabasePlan { host, port, ssl_mode, admin, databases }
}

/// Names of the topics of a prefix: one for every aggregate, and its dead letters.
pub fn topic_names(prefix: &str) -> impl Iterator<Item = String> {
    let of =
        move |aggregate: Aggregate| [aggregate.topic(prefix), aggregate.dead_letter_topic(prefix)];
    Aggregate::ALL.into_iter().flat_map(of)
}

/// The topics that a shop needs.
pub fn topics(shop: &ValidatedShop) -> TopicPlan {
    let (bootstrap_servers, security) = match &shop.events {
        EventsEngine::Bundled(_) => (
            vec![format!("{}:{KAFKA_PORT}", shop.host_of(EngineKind::Kafka))],
            KafkaSecurity::default(),
        ),
        EventsEngine::External { bootstrap_servers, security } => {
            (bootstrap_servers.clone(), security.clone())
        }
    };
    let settings = &shop.topics;
    let topics = topic_names(&settings.prefix)
        .map(|name| TopicSpec {
            name,
            partitions: settings.partitions,
            replication_factor: settings.replication_factor,
            retention_ms: settings.retention_ms,
        })
        .collect();
    TopicPlan { bootstrap_servers, security, topics }
}
