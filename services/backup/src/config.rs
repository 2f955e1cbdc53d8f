//! Configuration, by environment variables that the operator sets.

use contracts::env;
use kit::config::{Env, FromEnv};
use kit::objects;
use kit::secret::Secret;

/// The database of one service.
#[derive(Clone, Debug)]
pub struct Database {
    /// The service.
    pub service: String,
    /// Postgres URL with its own login role.
    pub url: Secret,
}

/// What both commands are configured by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the shop.
    pub shop: String,
    /// Namespace of the shop.
    pub namespace: String,
    /// Version of its services.
    pub version: String,
    /// The databases of its services.
    pub databases: Vec<Database>,
    /// Where backups are.
    pub store: objects::Settings,
    /// How many backups are kept; at least one is.
    pub keep: usize,
    /// The backup to restore.
    pub name: Option<String>,
    /// Log filter.
    pub log_level: String,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let shop = env.required(env::SHOP_NAME);
        let namespace = env.required(env::SHOP_NAMESPACE);
        let version = env.or(env::SHOP_VERSION, String::new());
        let services: Option<String> = env.required(env::BACKUP_SERVICES);
        let databases = services.and_then(|services| {
            let names = services.split(',').map(str::trim).filter(|name| !name.is_empty());
            names
                .map(|name| {
                    let url = env.required(&env::database_url(name));
                    Some(Database { service: name.to_owned(), url: url? })
                })
                // Every mistake is noted, hence none ends the reading.
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Option<Vec<_>>>()
        });
        let store = objects::Settings::from_env(env);
        let keep = env.or(env::BACKUP_KEEP, 7_usize);
        let name = env.optional(env::BACKUP_NAME);
        let log_level = env.or(env::LOG_LEVEL, "info".to_owned());
        Some(Self {
            shop: shop?,
            namespace: namespace?,
            version: version?,
            databases: databases?,
            store: store?,
            keep: keep?.max(1),
            name: name?,
            log_level: log_level?,
        })
    }
}
