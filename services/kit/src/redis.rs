//! Redis: a connection that is made on first use, mended by itself, and never waited for long, and
//! the names of what the shop keeps there.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use contracts::env;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult};

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
    /// What stands before every key; empty where the server is the shop's alone.
    pub key_prefix: String,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let url = env.required(env::REDIS_URL);
        let key_prefix = env.or(env::REDIS_KEY_PREFIX, String::new());
        Some(Self { url: url?, key_prefix: key_prefix? })
    }
}

impl Settings {
    /// Redis over one socket, which clones share. Fails only when the URL is wrong: it connects on
    /// first use, so that a service starts while its Redis does. While Redis is away every command
    /// fails after one attempt, and the next command finds the next attempt under way.
    pub fn connect(&self) -> RedisResult<Redis> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            // Waiting between attempts would hold up the request that waits for the connection.
            .set_number_of_retries(0);
        let client = Client::open(self.connection_info()?)?;
        let connection = ConnectionManager::new_lazy_with_config(client, config)?;
        Ok(Redis { connection, key_prefix: self.key_prefix.as_str().into() })
    }

    /// With Nagle's algorithm a second command waits for the acknowledgement of the first.
    fn connection_info(&self) -> RedisResult<ConnectionInfo> {
        let info = self.url.expose().into_connection_info()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        Ok(info.set_tcp_settings(tcp))
    }
}

/// The shop's part of a Redis that others may use as well; clones are the same one.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    key_prefix: Arc<str>,
}

impl Redis {
    /// What to ask with.
    pub fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    /// The key under which the shop keeps what is called `name`. Every key of every service is made
    /// here, because two shops in one server may call different things alike.
    pub fn key(&self, name: impl Display) -> String {
        format!("{}{name}", self.key_prefix)
    }
}

/// Whether Redis answers, for readiness:
/// `app.check("redis", move || kit::redis::ping(redis.clone()))`.
pub async fn ping(redis: Redis) -> Result<(), RedisError> {
    redis::cmd("PING").exec_async(&mut redis.connection()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sent_at_once() {
        let url = Secret::new("redis://127.0.0.1:1");
        let settings = Settings { url, key_prefix: String::new() };
        assert!(settings.connection_info().unwrap().tcp_settings().nodelay());
    }
}
