//! The shop's public keys, as a file that the operator changes while the service runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;

/// How long a key id that is not in the set is not looked for again: forged tokens, each with an id of its own, must
/// not become as many file reads.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// How long the set is used without reading it again: a key that was removed must not be good for as long as the
/// process lives.
const MAX_AGE: Duration = Duration::from_mins(1);

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
pub(super) struct KeySet {
    file: PathBuf,
    read: Mutex<(Arc<JwkSet>, Instant)>,
}

impl KeySet {
    pub(super) fn new(file: PathBuf, now: Instant) -> Result<Self, KeyError> {
        let keys = read(&file)?;
        Ok(Self { file, read: Mutex::new((Arc::new(keys), now)) })
    }

    /// The key set, read again when it lacks this key or is old. At most one read in [`RELOAD_INTERVAL`].
    pub(super) fn with(&self, kid: &str, now: Instant) -> Arc<JwkSet> {
        let mut guard = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (keys, read_at) = &mut *guard;
        let usable = if keys.find(kid).is_some() { MAX_AGE } else { RELOAD_INTERVAL };
        if now.saturating_duration_since(*read_at) >= usable {
            *read_at = now;
            match read(&self.file) {
                Ok(fresh) => *keys = Arc::new(fresh),
                Err(error) => tracing::warn!(%error, "keeping the old key set"),
            }
        }
        Arc::clone(keys)
    }
}

fn read(file: &PathBuf) -> Result<JwkSet, KeyError> {
    let text = std::fs::read(file).map_err(|error| KeyError::Read(file.clone(), error))?;
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
