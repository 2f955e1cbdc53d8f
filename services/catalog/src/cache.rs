//! The cache of products in Redis. It may forget at any time and is never needed: the shop works,
//! slower, without it.
//!
//! `product:<id>` (after the shop's prefix, see [`Redis::key`]) holds a product for five minutes. Whoever changes one deletes it *before* the
//! change is committed and puts up a fence, `product_fence:<id>`, with the new version. A reader
//! that has read an older version from Postgres, however slow it is, cannot put that back, because
//! the fence is looked at in the same step (a script, which Redis runs alone). A change that is
//! rolled back leaves a fence that only keeps the product uncached for a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::ProductId;
use kit::metric;
use kit::redis::Redis;
use kit::telemetry::chain;
use prometheus::{IntCounter, IntCounterVec};
use redis::{RedisError, Script};
use sqlx::PgPool;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::product::Product;

/// How long a product is held (rules of the shop).
const TTL: Duration = Duration::from_mins(5);
/// How long a fence stands: longer than any request takes to read and to put.
const FENCE: Duration = Duration::from_mins(1);
/// How long a reader waits for Redis; asking Postgres does not take longer.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long readers pass over a Redis that has failed them, and between two tries to delete.
const PAUSE: Duration = Duration::from_secs(1);

static LOOKED_UP: LazyLock<IntCounterVec> = metric!(
    counter,
    "catalog_cache_requests_total",
    "Products looked for in the cache, by outcome (hit, miss, unavailable).",
    &["outcome"]
);
static REFUSED: LazyLock<IntCounter> = metric!(
    counter,
    "catalog_cache_refused_total",
    "Products not put into the cache because they had changed meanwhile."
);

/// Puts a product of version ARGV[1] unless a fence asks for a newer one.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local fence = redis.call('GET', KEYS[2])
         if fence and tonumber(fence) > tonumber(ARGV[1]) then return 0 end
         redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
         return 1",
    )
});
/// Deletes a product and raises the fence to version ARGV[1]; never lowers it.
static DELETE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('DEL', KEYS[1])
         local fence = tonumber(redis.call('GET', KEYS[2]) or 0)
         redis.call('SET', KEYS[2], math.max(fence, ARGV[1]), 'EX', ARGV[2])",
    )
});

type Outcome = Result<Option<Arc<Product>>, Arc<sqlx::Error>>;
type Flight = Arc<OnceCell<Outcome>>;

/// The cache; clones are the same one.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    redis: Redis,
    /// What is being read: whoever wants the same waits for it instead of reading it again.
    flights: Mutex<HashMap<ProductId, Flight>>,
    /// What could not be deleted, with the version of its fence and the time when it is gone anyway.
    owed: Mutex<HashMap<ProductId, (i64, Instant)>>,
    /// Until when readers pass over Redis.
    passed_over: Mutex<Option<Instant>>,
    away: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// An empty view of what Redis holds.
    pub fn new(redis: Redis) -> Self {
        Self(Arc::new(Inner {
            redis,
            flights: Mutex::default(),
            owed: Mutex::default(),
            passed_over: Mutex::default(),
            away: AtomicBool::new(false),
        }))
    }

    fn key(&self, id: ProductId) -> String {
        self.0.redis.key(format_args!("product:{id}"))
    }

    fn fence_key(&self, id: ProductId) -> String {
        self.0.redis.key(format_args!("product_fence:{id}"))
    }

    /// The product, from the cache or from Postgres. Requests for one product share one read.
    pub async fn find(&self, pool: &PgPool, id: ProductId) -> Outcome {
        let flight = Arc::clone(locked(&self.0.flights).entry(id).or_default());
        let landing = Landing { cache: self, id, flight: &flight };
        let outcome = flight.get_or_init(|| self.read(pool, id)).await.clone();
        drop(landing);
        outcome
    }

    async fn read(&self, pool: &PgPool, id: ProductId) -> Outcome {
        if let Some(product) = self.get(id).await {
            return Ok(Some(Arc::new(product)));
        }
        let found = async { db::find(&mut *pool.acquire().await?, id).await };
        let found = found.await.map_err(Arc::new)?;
        if let Some(product) = &found {
            self.put(product).await;
        }
        Ok(found.map(Arc::new))
    }

    /// What the cache holds.
    pub async fn get(&self, id: ProductId) -> Option<Product> {
        let mut redis = self.0.redis.connection();
        let look_up = async {
            redis::cmd("GET").arg(self.key(id)).query_async::<Option<String>>(&mut redis).await
        };
        let found = self.asked(look_up).await;
        let outcome = match &found {
            None => "unavailable",
            Some(None) => "miss",
            Some(Some(_)) => "hit",
        };
        LOOKED_UP.with_label_values(&[outcome]).inc();
        // What another release has put there in another shape is as good as nothing.
        serde_json::from_str(&found??).ok()
    }

    /// Puts what was read from Postgres, unless it has changed since.
    pub async fn put(&self, product: &Product) {
        let json = serde_json::to_string(product).expect("products are plain values");
        let mut script = PUT.prepare_invoke();
        script.key(self.key(product.id)).key(self.fence_key(product.id));
        script.arg(product.version).arg(json).arg(TTL.as_secs());
        let mut redis = self.0.redis.connection();
        let put = self.asked(script.invoke_async::<bool>(&mut redis)).await;
        if put == Some(false) {
            REFUSED.inc();
        }
    }

    /// A product is about to get this version: call it inside the transaction, before the commit.
    /// What Redis does not do now it is asked for again until it does.
    pub async fn invalidate(&self, id: ProductId, version: i64) {
        // Deleting takes part in no passing over: every try counts.
        if let Err(error) = self.delete(id, version).await {
            self.notice(Err(&error));
            locked(&self.0.owed).insert(id, (version, Instant::now() + TTL));
        }
    }

    /// The change is committed: whoever asks from now on must not join a read that began before.
    pub fn committed(&self, id: ProductId) {
        locked(&self.0.flights).remove(&id);
    }

    async fn delete(&self, id: ProductId, version: i64) -> Result<(), RedisError> {
        let mut script = DELETE.prepare_invoke();
        script.key(self.key(id)).key(self.fence_key(id)).arg(version).arg(FENCE.as_secs());
        script.invoke_async(&mut self.0.redis.connection()).await
    }

    /// Deletes what could not be deleted at once, until told to stop.
    pub async fn settle(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some() {
            let now = Instant::now();
            locked(&self.0.owed).retain(|_, (_, gone)| *gone > now);
            let owed: Vec<_> = locked(&self.0.owed).iter().map(|(id, (v, _))| (*id, *v)).collect();
            for (id, version) in owed {
                let deleted = self.delete(id, version).await;
                self.notice(deleted.as_ref().copied());
                if deleted.is_err() {
                    break;
                }
                let mut owed = locked(&self.0.owed);
                // A later change may have failed meanwhile and owes more.
                if owed.get(&id).is_some_and(|(owed, _)| *owed == version) {
                    owed.remove(&id);
                }
            }
        }
    }

    /// The answer of Redis, if it gives one in time and has not failed a moment ago.
    async fn asked<T>(&self, question: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
        if !self.may_ask() {
            return None;
        }
        let late = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let answer = tokio::time::timeout(PATIENCE, question).await;
        let answer = answer.unwrap_or_else(|_| Err(late()));
        self.notice(answer.as_ref().map(|_| ()));
        answer.ok()
    }

    /// While Redis is away, one request at a time looks whether it is back.
    fn may_ask(&self) -> bool {
        let mut passed_over = locked(&self.0.passed_over);
        match *passed_over {
            Some(until) if until > Instant::now() => false,
            Some(_) => {
                *passed_over = Some(Instant::now() + PAUSE);
                true
            }
            None => true,
        }
    }

    /// Logs only changes: a request that works says nothing, nor does the hundredth that does not.
    fn notice(&self, outcome: Result<(), &RedisError>) {
        let away = outcome.is_err();
        *locked(&self.0.passed_over) = away.then(|| Instant::now() + PAUSE);
        let was_away = self.0.away.swap(away, Ordering::Relaxed);
        match outcome {
            Err(error) if !was_away => {
                tracing::warn!(
                    error = chain(error),
                    "the cache is away; Postgres is asked instead"
                );
            }
            Ok(()) if was_away => tracing::info!("the cache is back"),
            _ => {}
        }
    }
}

/// Ends a flight when the first of its passengers leaves, be it with an answer or because the
/// request was dropped; the others keep the flight that they are on.
struct Landing<'a> {
    cache: &'a Cache,
    id: ProductId,
    flight: &'a Flight,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flights = locked(&self.cache.0.flights);
        if flights.get(&self.id).is_some_and(|flight| Arc::ptr_eq(flight, self.flight)) {
            flights.remove(&self.id);
        }
    }
}
