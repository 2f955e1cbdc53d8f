//! What a shop has of a Redis that it shares with others.

use contracts::env;
use uuid::Uuid;

use super::engine;

/// A user of the tests' Redis, to whom the server refuses every key that does not begin with the
/// prefix (<https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>).
pub struct PartOfRedis {
    url: String,
    /// What its keys begin with.
    pub key_prefix: String,
}

impl PartOfRedis {
    /// A new user with a prefix of its own.
    pub async fn new() -> Self {
        let server = engine("TEST_REDIS_URL");
        let name = format!("t{}", Uuid::now_v7().simple());
        let key_prefix = format!("{name}:");
        let client = redis::Client::open(server.as_str()).expect("the URL is valid");
        let connection = client.get_multiplexed_async_connection().await;
        redis::cmd("ACL")
            .arg(&["SETUSER", &name, "on", "nopass", &format!("~{key_prefix}*"), "+@all"])
            .exec_async(&mut connection.expect("Redis answers"))
            .await
            .expect("a user can be made");
        let address = server.trim_start_matches("redis://");
        Self { url: format!("redis://{name}:any@{address}"), key_prefix }
    }

    /// How a service is told of it.
    pub fn variables(&self) -> [(&'static str, &str); 2] {
        [(env::REDIS_URL, &self.url), (env::REDIS_KEY_PREFIX, &self.key_prefix)]
    }

    /// How a part of a service is told of it.
    pub fn settings(&self) -> crate::redis::Settings {
        super::parse(&self.variables().map(|(name, value)| (name.to_owned(), value.to_owned())))
    }
}
