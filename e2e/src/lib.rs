//! What a platform engineer and a shopper do, as functions: `kubectl` from outside, HTTP from
//! outside. Nothing here knows how the shop works inside.

pub mod actors;
pub mod containers;
pub mod echo;
pub mod invariants;
pub mod kill;
pub mod kubectl;
pub mod mail;
pub mod probes;
pub mod shopper;

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A client of HTTP. Payment and notification call others by TLS, so `reqwest` is built with it in the whole workspace,
/// and wants to be told by which cryptography.
pub fn client() -> reqwest::Result<reqwest::Client> {
    // Somebody may have said so before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(30)).build()
}

/// Polls until there is an answer; fails with the last reason when there is none in time.
pub async fn eventually<T, F: Future<Output = Result<T>>>(
    what: &str,
    patience: Duration,
    mut poll: impl FnMut() -> F,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match poll().await {
            Ok(answer) => return Ok(answer),
            Err(reason) if Instant::now() >= deadline => {
                bail!("not within {} s: {what}: {reason:#}", patience.as_secs())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
