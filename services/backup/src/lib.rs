//! Backups of a shop's databases: dumps in its object store, and back.
//!
//! `backup create` dumps the database of every service as it is at one point in time with `pg_dump` and stores what it
//! prints in parts; the manifest is stored last, and without it there is no backup. `backup restore` fills empty
//! databases from one, and has recent events published again. Neither needs a disk: a part is as much as is in memory.

pub mod config;
pub mod create;
pub mod cut;
pub mod manifest;
pub mod postgres;
pub mod report;
pub mod restore;
pub mod retention;

use std::time::Duration;

use kit::objects::{self, Store};

/// How long the object store may take for one part.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often a part is sent or asked for before the backup fails.
const TRIES: u32 = 4;
/// Wait before the second try; it doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// Why there is no backup, or why it could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The shop has no object store.
    #[error("OBJECT_STORE_URL is not set: a backup is kept in the shop's object store")]
    NoStore,
    /// The object store cannot be used.
    #[error("the object store cannot be used")]
    Unusable(#[from] objects::Unusable),
    /// The object store did not do as it was told.
    #[error("{what}")]
    Store {
        /// What was to be done.
        what: String,
        /// Why it was not.
        source: objects::Error,
    },
    /// A program of Postgres could not be run.
    #[error("{program} could not be run")]
    Program {
        /// The program.
        program: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A program of Postgres failed.
    #[error("{program} of the database of {service} failed: {line}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Whose database.
        service: String,
        /// The last line that it wrote.
        line: String,
    },
    /// A database could not be asked.
    #[error("the database of {service} could not be asked")]
    Database {
        /// Whose database.
        service: String,
        /// Why.
        source: sqlx::Error,
    },
    /// A transaction has held its outbox or inbox all the time.
    #[error(
        "the database of {service} was busy all the time: a transaction holds its outbox or inbox"
    )]
    Busy {
        /// Whose database.
        service: String,
    },
    /// There is no such backup.
    #[error("there is no backup {0}: the object store has no manifest of it")]
    Missing(String),
    /// What is in the store is not what was stored.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// A backup of no use to this shop.
    #[error("the backup {0} has no database of this shop's services")]
    Foreign(String),
    /// Nothing is ever overwritten.
    #[error(
        "the database of {service} is not empty: a backup is restored into empty databases only"
    )]
    NotEmpty {
        /// Whose database.
        service: String,
    },
}

/// The store of these settings.
pub fn store(settings: objects::Settings) -> Result<Store, Error> {
    // Two crates bring a TLS provider each; say which. It fails where that is said already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = Store::new(settings, PATIENCE)?;
    if store.is_there() { Ok(store) } else { Err(Error::NoStore) }
}

/// Asks the store until it does, a few times: a backup of an hour must not fail for a second's silence.
async fn patiently<T, F>(what: impl Fn() -> String, ask: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, objects::Error>>,
{
    let mut pause = PAUSE;
    for tries in 1.. {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(source) if tries >= TRIES => return Err(Error::Store { what: what(), source }),
            Err(error) => {
                tracing::warn!(error = kit::telemetry::chain(&error), "{}; trying again", what());
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
    unreachable!("the last try has returned")
}
