//! The cache of accounts as their owners see them in Redis, `user_profile:<id>`: see [`kit::cache`]. Its versions
//! are those of the accounts. Passwords are in no account here, and nobody is let in because of what is held.

use std::sync::Arc;

use contracts::UserId;
use kit::redis::Redis;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::db;

/// The cache; clones are the same one.
#[derive(Clone)]
pub struct Cache(kit::cache::Cache<UserId, Account>);

impl Cache {
    /// An empty view of what Redis holds.
    pub fn new(redis: Redis) -> Self {
        Self(kit::cache::Cache::new(redis, "user_profile"))
    }

    /// The account, from the cache or from Postgres. Requests for one account share one read.
    pub async fn find(
        &self,
        pool: &PgPool,
        id: UserId,
    ) -> Result<Option<Arc<Account>>, Arc<sqlx::Error>> {
        let read = async {
            let found = db::account(&mut *pool.acquire().await?, id).await?;
            Ok(found.map(|account| (account.version, account)))
        };
        self.0.find(id, read).await
    }

    /// What the cache holds.
    pub async fn get(&self, id: UserId) -> Option<Account> {
        self.0.get(id).await
    }

    /// Puts what was read from Postgres, unless it has changed since.
    pub async fn put(&self, account: &Account) {
        self.0.put(account.id, account.version, account).await;
    }

    /// An account is about to get this version: call it inside the transaction, before the commit.
    pub async fn invalidate(&self, id: UserId, version: i64) {
        self.0.invalidate(id, version).await;
    }

    /// The change is committed: whoever asks from now on must not join a read that began before.
    pub fn committed(&self, id: UserId) {
        self.0.committed(id);
    }

    /// Deletes what could not be deleted at once, until told to stop.
    pub async fn settle(self, stop: CancellationToken) {
        self.0.settle(stop).await;
    }
}
