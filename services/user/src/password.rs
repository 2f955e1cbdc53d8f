//! Hashing passwords, never more than two at once: each takes 19 MiB and a core.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use kit::problem::{Problem, Result};
use kit::secret::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::account::Password;

/// Argon2id with 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at once.
const SLOTS: usize = 2;
/// How long a request waits for its turn before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hashes and checks passwords; clones share the slots.
#[derive(Clone, Debug)]
pub struct Hasher {
    slots: Arc<Semaphore>,
    decoy: Arc<str>,
}

/// Passwords cannot be hashed.
#[derive(Debug, thiserror::Error)]
#[error("a password cannot be hashed")]
pub struct HashError(#[from] Error);

impl Hasher {
    /// Hashes once, for [`Hasher::verify`] without an account.
    pub fn new() -> Result<Self, HashError> {
        let decoy = argon2()?.hash_password(b"nobody's password")?.to_string();
        Ok(Self { slots: Arc::new(Semaphore::new(SLOTS)), decoy: decoy.into() })
    }

    /// The PHC string of a password, with a salt of its own.
    pub async fn hash(&self, password: Password) -> Result<String> {
        let password = password.into_secret();
        self.compute(move || Ok(argon2()?.hash_password(password.expose().as_bytes())?.to_string()))
            .await
    }

    /// Whether this is the password. Without a hash it is not, and finding that out takes as long:
    /// the time must not tell whether there is an account.
    pub async fn verify(&self, password: Secret, hash: Option<String>) -> Result<bool> {
        let (exists, hash) = match hash {
            Some(hash) => (true, hash),
            None => (false, self.decoy.to_string()),
        };
        self.compute(move || {
            match argon2()?.verify_password(password.expose().as_bytes(), hash.as_str()) {
                Ok(()) => Ok(exists),
                Err(Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T> {
        let slot = self.slot(PATIENCE).await?;
        let work = move || {
            let result = work();
            // Here, and not with the request: whoever hangs up does not stop the hashing.
            drop(slot);
            result
        };
        let result = tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?;
        result.map_err(Problem::internal)
    }

    async fn slot(&self, patience: Duration) -> Result<OwnedSemaphorePermit> {
        let slot = Arc::clone(&self.slots).acquire_owned();
        match tokio::time::timeout(patience, slot).await {
            Ok(slot) => slot.map_err(Problem::internal),
            Err(elapsed) => Err(Problem::unavailable(elapsed)),
        }
    }
}

fn argon2() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_hash_alone() {
        let hasher = Hasher::new().unwrap();
        let hash = hasher.hash("correct horse".parse().unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verify = async |password: &str, hash: Option<String>| {
            hasher.verify(Secret::new(password), hash).await.unwrap()
        };
        assert!(verify("correct horse", Some(hash.clone())).await);
        assert!(!verify("correct horsf", Some(hash)).await);
        assert!(!verify("nobody's password", None).await, "the decoy opens nothing");
    }

    #[tokio::test]
    async fn two_at_once_and_who_waits_too_long_is_told_to_come_again() {
        let hasher = Hasher::new().unwrap();
        let first = hasher.slot(Duration::ZERO).await.unwrap();
        let _second = hasher.slot(Duration::ZERO).await.unwrap();
        let problem = hasher.slot(Duration::ZERO).await.unwrap_err();
        assert_eq!(problem.kind(), kit::problem::UNAVAILABLE);
        drop(first);
        assert!(hasher.slot(Duration::ZERO).await.is_ok());
    }
}
