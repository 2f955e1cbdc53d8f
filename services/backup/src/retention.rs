//! Which backups go.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use kit::objects::Store;
use tracing::info;

use crate::manifest::{self, FOLDER};
use crate::{Error, patiently};

/// A backup without a manifest may still be under way; after this time it has broken off.
const UNDER_WAY: TimeDelta = TimeDelta::hours(24);

/// Deletes the backups that are more than `keep`, and what is left of those that broke off.
pub async fn apply(store: &Store, keep: usize, now: DateTime<Utc>) -> Result<(), Error> {
    for backup in surplus(&list(store).await?, keep, now) {
        delete(store, &backup).await?;
        info!(backup, "deleted");
    }
    Ok(())
}

/// The backups in the store, oldest first, and whether each has its manifest.
pub async fn list(store: &Store) -> Result<BTreeMap<String, bool>, Error> {
    let objects =
        patiently(|| "the backups could not be listed".to_owned(), || store.list(FOLDER)).await?;
    let mut backups = BTreeMap::new();
    for (backup, is_manifest) in objects.iter().filter_map(|object| manifest::belongs(object)) {
        *backups.entry(backup.to_owned()).or_insert(false) |= is_manifest;
    }
    Ok(backups)
}

/// What is to go. The newest good backups never are, however old.
fn surplus(backups: &BTreeMap<String, bool>, keep: usize, now: DateTime<Utc>) -> Vec<String> {
    let good: Vec<&String> =
        backups.iter().rev().filter(|(_, good)| **good).map(|(name, _)| name).collect();
    let old = |name: &str| manifest::time(name).is_some_and(|began| now - began > UNDER_WAY);
    let broken = backups.iter().filter(|(name, good)| !**good && old(name)).map(|(name, _)| name);
    good.into_iter().skip(keep.max(1)).chain(broken).cloned().collect()
}

/// Deletes a backup: its manifest first, so that what is left of it is none.
pub async fn delete(store: &Store, backup: &str) -> Result<(), Error> {
    let manifest = manifest::manifest(backup);
    let what = || format!("the backup {backup} could not be deleted");
    patiently(what, || store.delete(&manifest)).await?;
    let folder = manifest::object(backup, "");
    for object in patiently(what, || store.list(&folder)).await? {
        patiently(what, || store.delete(&object)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_good_ones_stay_and_what_broke_off_goes_when_it_is_old() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let name = |hours: i64| manifest::name(now - TimeDelta::hours(hours), 7);
        let backups = BTreeMap::from([
            (name(100), true),
            (name(90), true),
            (name(80), false),
            (name(70), true),
            (name(1), false),
        ]);
        assert_eq!(surplus(&backups, 2, now), [name(100), name(80)]);
        assert_eq!(surplus(&backups, 9, now), [name(80)]);
        assert_eq!(surplus(&backups, 0, now), [name(90), name(100), name(80)], "one always stays");
    }
}
