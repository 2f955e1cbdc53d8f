//! Limits to guessing passwords without lockouts. An attempt is counted before the password is looked at, so that many
//! at once are not more than many in a row, and whether there is such an account makes no difference.
//!
//! A device that the owner has logged in with has a budget of its own. All others are counted by account and network
//! together; an account that is tried from many networks leaves each of them one attempt for each delay.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use contracts::network::{NETWORKS_PER_SITE, client_site};
use contracts::{UserId, is_public};
use http::{HeaderValue, header};
use kit::problem::{Problem, RATE_LIMITED, Result};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::account::Email;
use crate::db::{attempts, devices};
use crate::token::OpaqueToken;

/// Attempts for one account from one network, or from one known device, before they are delayed.
pub const FREE_ATTEMPTS: i32 = 10;
/// Attempts for one account from all networks in a window, before the free ones end. NIST SP 800-63B, 5.2.2 allows 100
/// in a row.
pub const MAX_PER_ACCOUNT: i32 = 100;
/// Wrong passwords from one network in a window, for whatever accounts.
pub const MAX_PER_NETWORK: i32 = 100;
/// Registrations from one network in an hour: each reveals whether an address has an account.
pub const MAX_REGISTRATIONS: i32 = 5;

/// Changes of the password of one account before they are delayed.
pub const FREE_PASSWORD_CHANGES: i32 = 5;

/// Refreshes of one session before they are delayed. An honest client needs twelve an hour, and some more for each of its tabs.
const FREE_REFRESHES: i32 = 60;
/// Delay of the others; it does not grow. Much shorter than an access token lives: a client that needs one never waits, however
/// long its session.
const REFRESH_DELAY: Duration = Duration::from_mins(1);

const WINDOW: Duration = Duration::from_mins(15);
const REGISTRATION_WINDOW: Duration = Duration::from_hours(1);
/// Delay before the first attempt that is not free; it doubles with each.
const INITIAL_DELAY: Duration = Duration::from_secs(30);
const MAX_DELAY: Duration = Duration::from_mins(15);
/// How long after the last attempt delays are remembered.
const MEMORY: Duration = Duration::from_hours(1);
/// How long counts are kept: longer than any of them counts.
pub(crate) const RETENTION: Duration = Duration::from_hours(24);

/// What is counted by, hashed.
pub(crate) type Subject = [u8; 32];

pub(crate) fn subject(kind: &str, value: &str) -> Subject {
    Sha256::digest(format!("{kind}:{value}")).into()
}

/// An attempt to guess a password.
#[derive(Clone, Debug)]
pub struct Attempt {
    device: Option<Subject>,
    pair: Subject,
    networks: Vec<(Subject, i32)>,
    account: Subject,
}

impl Attempt {
    /// An attempt for an account from a network, and perhaps by a device of its owner.
    pub async fn new(
        pool: &PgPool,
        email: &Email,
        network: Option<IpAddr>,
        device: Option<&OpaqueToken>,
    ) -> Result<Self> {
        let mut known = None;
        if let Some(token) = device
            && devices::is_known(&mut *pool.acquire().await?, token, email).await?
        {
            known = Some(Sha256::digest([&b"device:"[..], &token.hash()].concat()).into());
        }
        Ok(Self { device: known, ..Self::by_stranger(email, network) })
    }

    fn by_stranger(email: &Email, network: Option<IpAddr>) -> Self {
        let email = email.as_str();
        let near = network.map_or_else(|| "none".to_owned(), |network| near(network).to_string());
        Self {
            device: None,
            pair: subject("pair", &format!("{email} {near}")),
            networks: networks("network", network),
            account: subject("account", email),
        }
    }

    /// Counts it, or refuses it.
    pub async fn count(&self, pool: &PgPool) -> Result<()> {
        let mut connection = pool.acquire().await?;
        if let Some(device) = &self.device {
            return pace(&mut connection, (device, None), FREE_ATTEMPTS).await;
        }
        let window = WINDOW.as_secs_f64();
        let tried = attempts::counted(&mut connection, &self.account, window).await?;
        let free = if tried < MAX_PER_ACCOUNT { FREE_ATTEMPTS } else { 1 };
        pace(&mut connection, (&self.pair, Some(&self.account)), free).await?;
        limit_networks(&mut connection, &self.networks, WINDOW, MAX_PER_NETWORK).await?;
        attempts::count(&mut connection, &self.account, window).await?;
        Ok(())
    }

    /// The password was right: what its owner has mistyped is forgotten, and this was no guess.
    pub async fn succeeded(&self, pool: &PgPool) -> Result<()> {
        let mut connection = pool.acquire().await?;
        if let Some(device) = &self.device {
            attempts::forget(&mut connection, device).await?;
            return Ok(());
        }
        attempts::forget(&mut connection, &self.pair).await?;
        let networks = self.networks.iter().map(|(network, _)| network);
        for counted in networks.chain([&self.account]) {
            attempts::take_back(&mut connection, counted).await?;
        }
        Ok(())
    }
}

/// Counts a registration from a network, or refuses it.
pub async fn count_registration(pool: &PgPool, network: Option<IpAddr>) -> Result<()> {
    let networks = networks("registration", network);
    if networks.is_empty() {
        return Ok(());
    }
    let mut connection = pool.acquire().await?;
    limit_networks(&mut connection, &networks, REGISTRATION_WINDOW, MAX_REGISTRATIONS).await
}

/// Counts a change of a password by its account, or refuses it. Each sends an e-mail, and the address may be another person's.
pub async fn count_password_change(tx: &mut PgConnection, user: UserId) -> Result<()> {
    pace(tx, (&password_change(user), None), FREE_PASSWORD_CHANGES).await
}

/// Refuses a change of a password that comes too early, before anything is hashed for it.
pub async fn check_password_change(tx: &mut PgConnection, user: UserId) -> Result<()> {
    let pace = delayed_after(FREE_PASSWORD_CHANGES);
    match attempts::wait(tx, &password_change(user), &pace).await? {
        None => Ok(()),
        Some(seconds) => Err(refused(seconds)),
    }
}

fn password_change(user: UserId) -> Subject {
    subject("password_change", &user.to_string())
}

/// Counts a refresh of a session, or refuses it. Each stores a token for as long as the session may live.
pub async fn count_refresh(tx: &mut PgConnection, session: Uuid) -> Result<()> {
    let pace = attempts::Pace {
        delay_seconds: REFRESH_DELAY.as_secs_f64(),
        max_delay_seconds: REFRESH_DELAY.as_secs_f64(),
        ..delayed_after(FREE_REFRESHES)
    };
    match attempts::pace(tx, (&subject("refresh", &session.to_string()), None), &pace).await? {
        None => Ok(()),
        Some(seconds) => {
            let problem = Problem::new(RATE_LIMITED, "use the access token until it expires");
            Err(problem.header(header::RETRY_AFTER, retry_after(seconds)))
        }
    }
}

/// Whether the owner of an address may be notified of an attempted registration: mailboxes are not flooded.
pub async fn may_notify(tx: &mut PgConnection, email: &Email) -> Result<bool, sqlx::Error> {
    let by = subject("notice", email.as_str());
    Ok(attempts::count(tx, &by, RETENTION.as_secs_f64()).await?.count == 1)
}

/// Forgets what was guessed at an account that has another password now: by everybody, and from this network.
pub async fn forget(
    tx: &mut PgConnection,
    email: &Email,
    network: Option<IpAddr>,
) -> Result<(), sqlx::Error> {
    let attempt = Attempt::by_stranger(email, network);
    attempts::forget(tx, &attempt.pair).await?;
    attempts::forget(tx, &attempt.account).await
}

/// Same, by everybody from every network: the operator has given the password.
pub async fn forget_everywhere(pool: &PgPool, email: &Email) -> Result<(), sqlx::Error> {
    let account = subject("account", email.as_str());
    let mut connection = pool.acquire().await?;
    // A botnet has counts in many networks.
    attempts::forget_of_account(&mut connection, &account).await?;
    attempts::forget(&mut connection, &account).await
}

async fn pace(
    tx: &mut PgConnection,
    (subject, account): (&Subject, Option<&Subject>),
    free: i32,
) -> Result<()> {
    let account = account.map(<[u8; 32]>::as_slice);
    match attempts::pace(tx, (subject, account), &delayed_after(free)).await? {
        None => Ok(()),
        Some(seconds) => Err(refused(seconds)),
    }
}

const fn delayed_after(free: i32) -> attempts::Pace {
    attempts::Pace {
        free,
        delay_seconds: INITIAL_DELAY.as_secs_f64(),
        max_delay_seconds: MAX_DELAY.as_secs_f64(),
        memory_seconds: MEMORY.as_secs_f64(),
    }
}

/// What one network is refused is not counted for the networks around it.
async fn limit_networks(
    tx: &mut PgConnection,
    networks: &[(Subject, i32)],
    window: Duration,
    max: i32,
) -> Result<()> {
    for (network, times) in networks {
        limit(tx, network, window, max * times).await?;
    }
    Ok(())
}

async fn limit(tx: &mut PgConnection, by: &Subject, window: Duration, max: i32) -> Result<()> {
    let counted = attempts::count(tx, by, window.as_secs_f64()).await?;
    if counted.count <= max {
        return Ok(());
    }
    let end = counted.since + TimeDelta::from_std(window).unwrap_or_default();
    Err(refused((end - Utc::now()).as_seconds_f64()))
}

/// What strangers are counted by beside the account: neighbours in one /24 are one guesser.
fn near(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8))),
        IpAddr::V6(address) => IpAddr::V6(address),
    }
}

/// The networks that a client is counted by, the narrowest first, and how many times the limit each has; none behind a proxy that
/// the gateway does not trust.
fn networks(kind: &str, network: Option<IpAddr>) -> Vec<(Subject, i32)> {
    let Some(network) = network.filter(|network| is_public(*network)) else { return Vec::new() };
    let site =
        client_site(network).map(|site| (subject(kind, &format!("{site}/48")), NETWORKS_PER_SITE));
    [(subject(kind, &network.to_string()), 1)].into_iter().chain(site).collect()
}

fn refused(seconds: f64) -> Problem {
    let problem = Problem::new(RATE_LIMITED, "too many attempts: wait, or choose another password");
    problem.header(header::RETRY_AFTER, retry_after(seconds))
}

/// `Retry-After` in whole seconds.
pub(crate) fn retry_after(seconds: f64) -> HeaderValue {
    let seconds = seconds.ceil().clamp(1.0, RETENTION.as_secs_f64());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
    HeaderValue::from(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(network: &str) -> Attempt {
        let email = "ada@example.com".parse().unwrap();
        Attempt::by_stranger(&email, Some(network.parse().unwrap()))
    }

    #[test]
    fn clients_behind_one_proxy_are_not_counted_together() {
        for network in ["203.0.113.7", "2001:db8:1:2::"] {
            assert!(!from(network).networks.is_empty(), "{network}");
        }
        for network in ["10.244.1.5", "192.168.0.1", "127.0.0.1", "fd00::", "::1", "fe80::"] {
            assert!(from(network).networks.is_empty(), "{network}");
        }
    }

    #[test]
    fn neighbours_are_one_guesser() {
        assert_eq!(from("203.0.113.7").pair, from("203.0.113.200").pair);
        assert_ne!(from("203.0.113.7").pair, from("203.0.114.7").pair);
        assert_ne!(from("203.0.113.7").networks, from("203.0.113.200").networks);
        assert_ne!(from("2001:db8:1:2::").pair, from("2001:db8:1:3::").pair);
    }
}
