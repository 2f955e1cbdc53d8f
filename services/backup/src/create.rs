//! Making a backup.

use axum::body::Bytes;
use chrono::Utc;
use kit::objects::Store;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracing::{info, warn};

use crate::config::{Config, Database};
use crate::cut::Cut;
use crate::manifest::{self, Dump, FORMAT, Manifest, Part};
use crate::postgres::{self, DUMP, Running};
use crate::{Error, patiently, retention, store};

/// How much of a dump is one object, and in memory at a time.
const PART: usize = 16 << 20;
/// A dump that cannot have its locks in this time gives up rather than hold up a migration.
const LOCKS: &str = "--lock-wait-timeout=60s";

/// Dumps every database into the object store, then forgets the backups that are too many.
pub async fn create(config: &Config) -> Result<Manifest, Error> {
    let store = store(config.store.clone())?;
    let name = manifest::name(Utc::now(), rand::random());
    match dump_all(config, &store, &name).await {
        Ok(manifest) => {
            info!(backup = name, bytes = manifest.bytes(), "stored");
            // The backup is good, whatever becomes of the older ones; the next one tries again.
            if let Err(error) = retention::apply(&store, config.keep, Utc::now()).await {
                warn!(error = kit::telemetry::chain(&error), "older backups could not be deleted");
            }
            Ok(manifest)
        }
        Err(error) => {
            if let Err(error) = retention::delete(&store, &name).await {
                warn!(error = kit::telemetry::chain(&error), "what was stored of it is left");
            }
            Err(error)
        }
    }
}

async fn dump_all(config: &Config, store: &Store, name: &str) -> Result<Manifest, Error> {
    let (started, program) = (Utc::now(), postgres::version(DUMP).await?);
    let mut databases = Vec::new();
    let cut = Cut::take(&config.databases).await?;
    for (database, snapshot) in config.databases.iter().zip(cut.snapshots()) {
        let parts = dump(store, name, database, snapshot).await?;
        let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        info!(backup = name, service = database.service, bytes, "dumped");
        let service = database.service.clone();
        databases.push(Dump { service, program: program.clone(), parts });
    }
    cut.release().await;
    let manifest = Manifest {
        format: FORMAT,
        name: name.to_owned(),
        namespace: config.namespace.clone(),
        shop: config.shop.clone(),
        version: config.version.clone(),
        started,
        finished: Utc::now(),
        databases,
    };
    let text = serde_json::to_vec_pretty(&manifest).expect("a manifest is JSON");
    let (object, text) = (manifest::manifest(name), Bytes::from(text));
    patiently(
        || "the manifest could not be stored".to_owned(),
        || store.put(&object, "application/json", text.clone()),
    )
    .await?;
    Ok(manifest)
}

/// Stores what `pg_dump` prints, part by part.
async fn dump(
    store: &Store,
    name: &str,
    database: &Database,
    snapshot: &str,
) -> Result<Vec<Part>, Error> {
    let snapshot = format!("--snapshot={snapshot}");
    let mut running = Running::start(DUMP, &["--format=custom", LOCKS, &snapshot], database)?;
    let mut output = running.child.stdout.take().expect("it is piped");
    let mut parts = Vec::new();
    loop {
        let bytes = next_part(&mut output).await;
        let bytes = bytes.map_err(|source| Error::Program { program: DUMP, source })?;
        if bytes.is_empty() {
            break;
        }
        let object = format!("{}.{:05}", database.service, parts.len());
        let part =
            Part { bytes: bytes.len() as u64, sha256: sha256(&bytes), object: object.clone() };
        let key = manifest::object(name, &object);
        patiently(
            || format!("{object} could not be stored"),
            || store.put(&key, "application/octet-stream", bytes.clone()),
        )
        .await?;
        parts.push(part);
    }
    running.end().await?;
    Ok(parts)
}

/// The next part of a dump; empty at its end.
async fn next_part(output: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    output.take(PART as u64).read_to_end(&mut bytes).await?;
    Ok(bytes.into())
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
