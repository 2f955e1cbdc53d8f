//! What a backup is: its name, its parts, and the manifest that says so.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

/// The folder of all backups of a shop.
pub const FOLDER: &str = "backups/";
/// Name of the manifest in the folder of its backup.
const MANIFEST: &str = "manifest.json";
/// The time in a name.
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// The layout that this program writes and reads.
pub const FORMAT: u32 = 1;

/// What a backup has. Stored last, so that a backup whose upload broke off has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Layout of the backup.
    pub format: u32,
    /// Name of the backup.
    pub name: String,
    /// Namespace of the shop.
    pub namespace: String,
    /// Name of the shop.
    pub shop: String,
    /// Version of its services.
    pub version: String,
    /// Before the databases were dumped.
    pub started: DateTime<Utc>,
    /// When the last one was stored.
    pub finished: DateTime<Utc>,
    /// The dumps.
    pub databases: Vec<Dump>,
}

impl Manifest {
    /// Bytes of all dumps.
    pub fn bytes(&self) -> u64 {
        self.databases.iter().flat_map(|dump| &dump.parts).map(|part| part.bytes).sum()
    }
}

/// The dump of one database, as `pg_dump --format=custom` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dump {
    /// Whose database.
    pub service: String,
    /// What dumped it, e.g. `pg_dump (PostgreSQL) 15.14`.
    pub program: String,
    /// Its parts, in their order.
    pub parts: Vec<Part>,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Name in the folder of the backup.
    pub object: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// A name for a backup that begins now: names are in the order of their times, and two that begin in one
/// second have two names.
pub fn name(now: DateTime<Utc>, random: u16) -> String {
    format!("{}-{random:04x}", now.format(TIME))
}

/// When the backup of this name began, if it is one.
pub fn time(name: &str) -> Option<DateTime<Utc>> {
    let (time, _) = name.split_once('-')?;
    Some(NaiveDateTime::parse_from_str(time, TIME).ok()?.and_utc())
}

/// The name of an object of a backup in the store.
pub fn object(backup: &str, object: &str) -> String {
    format!("{FOLDER}{backup}/{object}")
}

/// The name of a backup's manifest in the store.
pub fn manifest(backup: &str) -> String {
    object(backup, MANIFEST)
}

/// The backup that an object in the store belongs to, and whether it is its manifest.
pub fn belongs(object: &str) -> Option<(&str, bool)> {
    let (backup, rest) = object.strip_prefix(FOLDER)?.split_once('/')?;
    time(backup)?;
    Some((backup, rest == MANIFEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_are_told_from_what_is_none() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let (first, second) = (name(at(1_795_836_600), 0xffff), name(at(1_795_836_601), 0));
        assert_eq!(first, "20261128T033000Z-ffff");
        assert!(first < second);
        assert_eq!(time(&first), Some(at(1_795_836_600)));
        assert_eq!(time("notes"), None);
        assert_eq!(belongs(&manifest(&first)), Some((&*first, true)));
        assert_eq!(belongs(&object(&first, "order.00000")), Some((&*first, false)));
        assert_eq!(belongs("backups/notes/manifest.json"), None);
        assert_eq!(belongs("images/a.jpg"), None);
    }
}
