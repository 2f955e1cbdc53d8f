//! The cache of users' own lists in Redis, `user_orders:<id>`: see [`kit::cache`]. It holds the first
//! page, which is what people look at.
//!
//! A list is made of many rows that change side by side, so its versions are the numbers of
//! transactions. A step raises the fence to that of its own; a reader says up to which one all had
//! ended before it read ([`db::settled`]). So a list is held only when every step that was announced
//! is in it, in whichever order the steps are committed.

use std::sync::Arc;

use contracts::{OrderId, UserId};
use kit::page::{PageQuery, Window};
use kit::problem::{Problem, Result};
use kit::redis::Redis;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::view::OrderView;

/// The cache; clones are the same one.
#[derive(Clone)]
pub struct Cache(kit::cache::Cache<UserId, Vec<OrderView>>);

impl Cache {
    /// An empty view of what Redis holds.
    pub fn new(redis: Redis) -> Self {
        Self(kit::cache::Cache::new(redis, "user_orders"))
    }

    /// A user's newest orders: enough for this page of them, from the cache, or none when only
    /// Postgres can tell.
    pub async fn page(
        &self,
        pool: &PgPool,
        user: UserId,
        window: &Window<OrderId>,
    ) -> Result<Option<Arc<Vec<OrderView>>>> {
        let held = PageQuery::default().window::<OrderId>()?;
        if window.after.is_some() || window.offset > 0 || window.limit > held.limit {
            return Ok(None);
        }
        let read = async {
            let mut connection = pool.acquire().await?;
            let version = db::settled(&mut connection).await?;
            let orders = db::list(&mut connection, user, &held).await?;
            Ok(Some((version, orders.into_iter().map(OrderView::from).collect())))
        };
        self.0.find(user, Box::pin(read)).await.map_err(Problem::unavailable)
    }

    /// An order of this user changes in this transaction: call it before the commit.
    pub async fn invalidate(&self, user: UserId, transaction: i64) {
        self.0.invalidate(user, transaction).await;
    }

    /// The change is committed: whoever asks from now on must not join a read that began before.
    pub fn committed(&self, user: UserId) {
        self.0.committed(user);
    }

    /// Deletes what could not be deleted at once, until told to stop.
    pub async fn settle(self, stop: CancellationToken) {
        self.0.settle(stop).await;
    }
}
