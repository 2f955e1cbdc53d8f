//! The shop's public keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;

use super::key_file::{KeyFile, MAX_AGE};

/// How long a key id that is not in the set is not looked for again: forged tokens, each with an id of its own, must
/// not become as many file reads.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// Why the key set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key set {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is no JSON Web Key Set.
    #[error("the key set is not valid")]
    Parse(#[from] serde_json::Error),
}

/// The key set as it was last read.
#[derive(Debug)]
pub(super) struct KeySet(KeyFile<JwkSet, KeyError>);

impl KeySet {
    pub(super) fn new(file: PathBuf, now: Instant) -> Result<Self, KeyError> {
        Ok(Self(KeyFile::new(file, read, now)?))
    }

    /// The key set, read again when it lacks this key or is old. At most one read in [`RELOAD_INTERVAL`].
    pub(super) fn with(&self, kid: &str, now: Instant) -> Arc<JwkSet> {
        let max_age =
            |keys: &JwkSet| if keys.find(kid).is_some() { MAX_AGE } else { RELOAD_INTERVAL };
        self.0.get_within(now, max_age)
    }
}

fn read(file: &Path) -> Result<JwkSet, KeyError> {
    let text = std::fs::read(file).map_err(|error| KeyError::Read(file.to_owned(), error))?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct File(PathBuf);

    impl File {
        fn new(kids: &[&str]) -> Self {
            let name = format!("shop-test-{}.json", uuid::Uuid::now_v7());
            let file = Self(std::env::temp_dir().join(name));
            file.publish(kids);
            file
        }

        fn publish(&self, kids: &[&str]) {
            let key = |kid| {
                let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
                serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
            };
            let keys: Vec<_> = kids.iter().map(key).collect();
            std::fs::write(&self.0, serde_json::json!({ "keys": keys }).to_string()).unwrap();
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_unknown_key_is_looked_for_at_most_every_five_seconds() {
        let (file, start) = (File::new(&["old"]), Instant::now());
        let keys = KeySet::new(file.0.clone(), start).unwrap();
        let attack = |at: Instant| {
            for number in 0..1000 {
                assert!(keys.with(&format!("forged-{number}"), at).find("forged-1").is_none());
            }
        };
        attack(start + seconds(5));
        file.publish(&["new", "old"]);
        // Had one of these been read for, the new key would be known.
        attack(start + seconds(9));
        assert!(keys.with("new", start + seconds(9)).find("new").is_none());
        let found = keys.with("new", start + seconds(10));
        assert!(found.find("new").is_some() && found.find("old").is_some());
    }

    #[test]
    fn a_removed_key_is_forgotten_within_a_minute() {
        let (file, start) = (File::new(&["old", "new"]), Instant::now());
        let keys = KeySet::new(file.0.clone(), start).unwrap();
        file.publish(&["new"]);
        assert!(keys.with("old", start + seconds(59)).find("old").is_some());
        assert!(keys.with("old", start + seconds(60)).find("old").is_none());
    }

    #[test]
    fn a_set_that_cannot_be_read_leaves_the_old_one() {
        let (file, start) = (File::new(&["old"]), Instant::now());
        let keys = KeySet::new(file.0.clone(), start).unwrap();
        std::fs::write(&file.0, "{").unwrap();
        assert!(keys.with("old", start + seconds(60)).find("old").is_some());
    }
}
