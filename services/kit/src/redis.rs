//! Redis: a connection that is made on first use, mended by itself, and never waited for long.

use std::time::Duration;

use contracts::env;
pub use redis::aio::ConnectionManager;
use redis::aio::ConnectionManagerConfig;
use redis::{Client, IntoConnectionInfo, RedisError, RedisResult};

use crate::config::{Env, FromEnv};
use crate::secret::Secret;

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long an answer may take; whatever takes longer costs more than it saves.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Redis URL with credentials.
    pub url: Secret,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        Some(Self { url: env.required(env::REDIS_URL)? })
    }
}

impl Settings {
    /// A connection whose clones share one socket. Fails only when the URL is wrong: it connects on
    /// first use, so that a service starts while its Redis does. While Redis is away every command
    /// fails after one attempt, and the next command finds the next attempt under way.
    pub fn connect(&self) -> RedisResult<ConnectionManager> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            // Waiting between attempts would hold up the request that waits for the connection.
            .set_number_of_retries(0);
        let client = Client::open(self.url.expose().into_connection_info()?)?;
        ConnectionManager::new_lazy_with_config(client, config)
    }
}

/// Whether Redis answers, for readiness:
/// `app.check("redis", move || kit::redis::ping(connection.clone()))`.
pub async fn ping(mut connection: ConnectionManager) -> Result<(), RedisError> {
    redis::cmd("PING").exec_async(&mut connection).await
}
