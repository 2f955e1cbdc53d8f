//! Hashing passwords, never more than two at once: each takes 19 MiB and a core. The memory goes back to the
//! system at once, or a rush of logins would leave the service with some for each thread it had.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::Error;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use kit::problem::{Problem, Result};
use kit::secret::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::account::Password;

/// Argon2id with 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Allocations above this size glibc takes from the system and gives back when they are freed; of smaller
/// ones it learns to keep them, for each thread (mallopt(3), `M_MMAP_THRESHOLD`, 32 MiB at most). Pages
/// that are not touched cost nothing.
const GIVEN_BACK: usize = 33 << 20;
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
        let decoy = hash(b"nobody's password")?;
        Ok(Self { slots: Arc::new(Semaphore::new(SLOTS)), decoy: decoy.into() })
    }

    /// The PHC string of a password, with a salt of its own.
    pub async fn hash(&self, password: Password) -> Result<String> {
        let password = password.into_secret();
        self.compute(move || Ok(hash(password.expose().as_bytes())?)).await
    }

    /// Whether this is the password. Without a hash it is not, and finding that out takes as long:
    /// the time must not tell whether there is an account.
    pub async fn verify(&self, password: Secret, hash: Option<String>) -> Result<bool> {
        let (exists, hash) = match hash {
            Some(hash) => (true, hash),
            None => (false, self.decoy.to_string()),
        };
        self.compute(move || Ok(fits(password.expose().as_bytes(), &hash)? && exists)).await
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

/// The PHC string of a password, with a salt of its own.
fn hash(password: &[u8]) -> Result<String, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params)?,
        salt: Some(Salt::generate()),
        hash: None,
    };
    let output = compute(password, &hash, params)?;
    Ok(PasswordHash { hash: Some(output), ..hash }.to_string())
}

/// Whether a PHC string is of this password. Outputs are compared in constant time.
fn fits(password: &[u8], hash: &str) -> Result<bool, Error> {
    let hash = PasswordHash::new(hash)?;
    Ok(hash.hash.as_ref() == Some(&compute(password, &hash, Params::try_from(&hash)?)?))
}

/// What a password comes to with the salt and the parameters of a PHC string.
fn compute(password: &[u8], hash: &PasswordHash, params: Params) -> Result<Output, Error> {
    let blocks = params.block_count();
    let mut memory = Vec::with_capacity(blocks.max(GIVEN_BACK / Block::SIZE));
    memory.resize(blocks, Block::new());
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let salt = hash.salt.as_ref().ok_or(Error::SaltInvalid)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        password,
        salt,
        &mut output,
        memory,
    )?;
    Ok(Output::new(&output)?)
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

    /// Memory of this process that is in use, in MiB.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rush_leaves_no_memory_behind() {
        let hasher = Hasher::new().unwrap();
        let before = resident();
        let mut rush = tokio::task::JoinSet::new();
        for _ in 0..60 {
            let hasher = hasher.clone();
            // On a busy machine some wait too long for their turn.
            rush.spawn(async move {
                while hasher.hash("correct horse".parse().unwrap()).await.is_err() {}
            });
        }
        rush.join_all().await;
        let after = resident();
        // The test beside this one may be hashing.
        assert!(after < before + 48, "{before} MiB before, {after} MiB after");
    }
}
