//! Limits to guessing passwords: a few tries for one account, more from one network, which may be a whole
//! office. A try is counted before the password is looked at, so that many at once are not more.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use http::{HeaderValue, header};
use kit::problem::{Problem, RATE_LIMITED, Result};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use crate::account::Email;
use crate::db::tries;

/// What a count is of.
pub const WINDOW: Duration = Duration::from_mins(15);
/// Tries for one account in a window. NIST SP 800-63B, 5.2.2 allows 100 in a row.
pub const PER_ACCOUNT: i32 = 10;
/// Wrong passwords from one network in a window.
pub const PER_NETWORK: i32 = 100;

type Subject = [u8; 32];

/// Somebody who is about to try a password. It does not matter whether there is such an account: what is
/// counted must not tell.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    account: Subject,
    network: Option<Subject>,
}

impl Try {
    /// A try for an account from a network.
    pub fn new(email: &Email, network: Option<IpAddr>) -> Self {
        let subject = |kind: &str, value: &str| Sha256::digest(format!("{kind}:{value}")).into();
        Self {
            account: subject("account", email.as_str()),
            network: network
                .filter(|network| is_public(*network))
                .map(|network| subject("network", &network.to_string())),
        }
    }

    /// Counts it, or refuses it.
    pub async fn count(&self, pool: &PgPool) -> Result<()> {
        let mut connection = pool.acquire().await?;
        let limits = [(Some(self.account), PER_ACCOUNT), (self.network, PER_NETWORK)];
        for (subject, limit) in limits {
            let Some(subject) = subject else { continue };
            let count = tries::count(&mut connection, &subject, WINDOW.as_secs_f64()).await?;
            if count.tries > limit {
                let end = count.since + TimeDelta::from_std(WINDOW).unwrap_or_default();
                return Err(refused((end - Utc::now()).num_seconds().max(1)));
            }
        }
        Ok(())
    }

    /// The password was right: what the account's owner mistyped is forgotten.
    pub async fn forgive(&self, pool: &PgPool) -> Result<()> {
        let mut connection = pool.acquire().await?;
        tries::forget(&mut connection, &self.account).await?;
        if let Some(network) = self.network {
            tries::take_back(&mut connection, &network).await?;
        }
        Ok(())
    }
}

/// Whether an address may be a client's. A private one is rather that of a proxy which the gateway was not
/// told to trust (`spec.gateway.trustedProxies`), and everybody is behind it.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !(address.is_private() || address.is_loopback() || address.is_link_local())
        }
        IpAddr::V6(address) => {
            !(address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local())
        }
    }
}

/// Removes counts that have ended.
pub async fn purge(pool: &PgPool) -> Result<(), sqlx::Error> {
    tries::purge(&mut *pool.acquire().await?, WINDOW.as_secs_f64()).await
}

fn refused(seconds: i64) -> Problem {
    let problem = Problem::new(RATE_LIMITED, "too many tries to log in, come again later");
    problem.header(header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_behind_a_proxy_is_not_counted_together() {
        let counted = |network: &str| {
            let email = "ada@example.com".parse().unwrap();
            Try::new(&email, Some(network.parse().unwrap())).network.is_some()
        };
        for network in ["203.0.113.7", "2001:db8:1:2::"] {
            assert!(counted(network), "{network}");
        }
        for network in ["10.244.1.5", "192.168.0.1", "127.0.0.1", "fd00::", "::1", "fe80::"] {
            assert!(!counted(network), "{network}");
        }
    }
}
