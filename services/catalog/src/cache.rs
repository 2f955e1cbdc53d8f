//! The cache of products in Redis, `product:<id>`: see [`kit::cache`]. Its versions are those of the
//! products.

use std::sync::Arc;

use contracts::ProductId;
use kit::redis::Redis;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::product::Product;

/// The cache; clones are the same one.
#[derive(Clone)]
pub struct Cache(kit::cache::Cache<ProductId, Product>);

impl Cache {
    /// An empty view of what Redis holds.
    pub fn new(redis: Redis) -> Self {
        Self(kit::cache::Cache::new(redis, "product"))
    }

    /// The product, from the cache or from Postgres. Requests for one product share one read.
    pub async fn find(
        &self,
        pool: &PgPool,
        id: ProductId,
    ) -> Result<Option<Arc<Product>>, Arc<sqlx::Error>> {
        let read = async {
            let found = db::find(&mut *pool.acquire().await?, id).await?;
            Ok(found.map(|product| (product.version, product)))
        };
        self.0.find(id, read).await
    }

    /// What the cache holds.
    pub async fn get(&self, id: ProductId) -> Option<Product> {
        self.0.get(id).await
    }

    /// Puts what was read from Postgres, unless it has changed since.
    pub async fn put(&self, product: &Product) {
        self.0.put(product.id, product.version, product).await;
    }

    /// A product is about to get this version: call it inside the transaction, before the commit.
    pub async fn invalidate(&self, id: ProductId, version: i64) {
        self.0.invalidate(id, version).await;
    }

    /// The change is committed: whoever asks from now on must not join a read that began before.
    pub fn committed(&self, id: ProductId) {
        self.0.committed(id);
    }

    /// Deletes what could not be deleted at once, until told to stop.
    pub async fn settle(self, stop: CancellationToken) {
        self.0.settle(stop).await;
    }
}
