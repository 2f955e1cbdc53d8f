//! Filling empty databases from a backup.

use axum::body::Bytes;
use chrono::TimeDelta;
use kit::objects::Store;
use tokio::io::AsyncWriteExt as _;
use tracing::info;

use crate::config::{Config, Database};
use crate::create::sha256;
use crate::manifest::{self, Dump, FORMAT, Manifest, Part};
use crate::postgres::{RESTORE, Running, Session};
use crate::{Error, patiently, store};

/// How far events may be behind when a backup is made: those that were published since are published again. It has to
/// be longer than consumers lag, and each event costs a moment before new ones are sent.
const REPUBLISHED: TimeDelta = TimeDelta::hours(1);

/// Fills the database of every service that the backup has one of. All of them are looked at before the
/// first is touched. One that this backup has filled already is left as it is, so that a Job that was
/// stopped halfway can be tried again.
pub async fn restore(config: &Config) -> Result<Manifest, Error> {
    let store = store(config.store.clone())?;
    let name = config.name.as_deref().unwrap_or_default();
    let manifest = read(&store, name).await?;
    let found: Vec<(&Database, &Dump)> = config
        .databases
        .iter()
        .filter_map(|database| {
            let dump = manifest.databases.iter().find(|dump| dump.service == database.service)?;
            Some((database, dump))
        })
        .collect();
    // What a service has that is not in the backup, it begins with its own migrations.
    if found.is_empty() {
        return Err(Error::Foreign(name.to_owned()));
    }
    let mark = format!("restored from {} of {}/{}", name, manifest.namespace, manifest.shop);
    let mut due = Vec::new();
    for (database, dump) in &found {
        if is_due(database, &mark).await? {
            due.push((database, dump));
        } else {
            info!(backup = name, service = database.service, "restored already");
        }
    }
    for (database, dump) in due {
        // Written first: one transaction fills the database, so what is filled and has the mark is whole.
        let mut session = Session::open(database).await?;
        session.write_comment(&mark).await?;
        session.close().await;
        fill(&store, name, database, dump).await?;
        info!(backup = name, service = database.service, "restored");
    }
    // Of all, as a Job that was stopped may have filled some before. Topics are empty in a new shop: what was published
    // and had not arrived would be lost. What had arrived is in the inboxes and has no effect again.
    for (database, _) in &found {
        resume(database, &manifest).await?;
    }
    Ok(manifest)
}

/// The manifest of a backup.
pub async fn read(store: &Store, name: &str) -> Result<Manifest, Error> {
    if manifest::time(name).is_none() || name.contains('/') {
        return Err(Error::Missing(name.to_owned()));
    }
    let object = manifest::manifest(name);
    let Some(text) = get(store, &object).await? else {
        return Err(Error::Missing(name.to_owned()));
    };
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| Error::Damaged(format!("its manifest cannot be read: {error}")))?;
    if manifest.format != FORMAT {
        let format = manifest.format;
        return Err(Error::Damaged(format!("it has the layout {format}, and {FORMAT} is known")));
    }
    Ok(manifest)
}

/// Whether a database is to be filled. What others have filled is an error.
async fn is_due(database: &Database, mark: &str) -> Result<bool, Error> {
    let mut session = Session::open(database).await?;
    let empty = session.is_empty().await?;
    let marked = session.comment().await?.is_some_and(|comment| comment == mark);
    session.close().await;
    if !empty && !marked {
        return Err(Error::NotEmpty { service: database.service.clone() });
    }
    Ok(empty)
}

async fn resume(database: &Database, manifest: &Manifest) -> Result<(), Error> {
    let mut session = Session::open(database).await?;
    let backup = (manifest.name.as_str(), manifest.started);
    let events = session.resume(backup, manifest.started - REPUBLISHED).await?;
    session.close().await;
    info!(service = database.service, events, "events are published again");
    Ok(())
}

async fn fill(store: &Store, name: &str, database: &Database, dump: &Dump) -> Result<(), Error> {
    let arguments = ["--exit-on-error", "--single-transaction"];
    let mut running = Running::start(RESTORE, &arguments, database)?;
    let mut input = running.child.stdin.take().expect("it is piped");
    for part in &dump.parts {
        let bytes = part_of(store, name, part).await?;
        // A program that has ended says itself why.
        if input.write_all(&bytes).await.is_err() {
            break;
        }
    }
    drop(input);
    running.end().await
}

/// A part as it was stored: a damaged one fills nothing.
async fn part_of(store: &Store, name: &str, part: &Part) -> Result<Bytes, Error> {
    let object = &part.object;
    let bytes = get(store, &manifest::object(name, object)).await?;
    let bytes = bytes.ok_or_else(|| Error::Damaged(format!("{object} is missing")))?;
    if bytes.len() as u64 != part.bytes || sha256(&bytes) != part.sha256 {
        return Err(Error::Damaged(format!("{object} is not what was stored")));
    }
    Ok(bytes)
}

async fn get(store: &Store, object: &str) -> Result<Option<Bytes>, Error> {
    patiently(
        || format!("{object} could not be read"),
        || async {
            match store.get(object).await? {
                Some(answer) => Ok(Some(kit::objects::content(answer).await?)),
                None => Ok(None),
            }
        },
    )
    .await
}
