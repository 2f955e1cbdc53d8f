//! A cache in Redis of what a service keeps in Postgres. It may forget at any time and is never
//! needed: the shop works, slower, without it.
//!
//! `<name>:<id>` (after the shop's prefix, see [`Redis::key`]) holds a value. Whoever changes what
//! it was made of deletes it *before* the change is committed and puts up a fence,
//! `<name>_fence:<id>`, with the version of the change. A reader that has read an older version
//! from Postgres, however slow it is, cannot put that back, because the fence is looked at in the
//! same step (a script, which Redis runs alone). A change that is rolled back leaves a fence that
//! only keeps the value uncached for a while.
//!
//! Versions are numbers that only grow: that of a row, or, where a value is made of many rows, that
//! of the transaction (see the order service).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounterVec;
use redis::{RedisError, Script};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metric;
use crate::redis::Redis;
use crate::telemetry::chain;

/// How long a value is held (rules of the shop).
const TTL: Duration = Duration::from_mins(5);
/// How long a fence stands: longer than any request takes to read and to put.
const FENCE: Duration = Duration::from_mins(1);
/// How long a reader waits for Redis; asking Postgres does not take longer.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long readers pass over a Redis that has failed them, and between two tries to delete.
const PAUSE: Duration = Duration::from_secs(1);

static LOOKED_UP: LazyLock<IntCounterVec> = metric!(
    counter,
    "cache_requests_total",
    "Values looked for in a cache, by outcome (hit, miss, unavailable).",
    &["cache", "outcome"]
);
static REFUSED: LazyLock<IntCounterVec> = metric!(
    counter,
    "cache_refused_total",
    "Values not put into a cache because they had changed meanwhile.",
    &["cache"]
);

/// Puts a value of version ARGV[1] unless a fence asks for a newer one.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local fence = redis.call('GET', KEYS[2])
         if fence and tonumber(fence) > tonumber(ARGV[1]) then return 0 end
         redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
         return 1",
    )
});
/// Deletes a value and raises the fence to version ARGV[1]; never lowers it. Numbers are compared
/// as numbers and kept as text, because Lua would write large ones with an exponent.
static DELETE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('DEL', KEYS[1])
         local fence = redis.call('GET', KEYS[2])
         if not fence or tonumber(fence) < tonumber(ARGV[1]) then fence = ARGV[1] end
         redis.call('SET', KEYS[2], fence, 'EX', ARGV[2])",
    )
});

/// What a reader gets: the value, or that there is none.
pub type Outcome<V> = Result<Option<Arc<V>>, Arc<sqlx::Error>>;
type Flight<V> = Arc<OnceCell<Outcome<V>>>;

/// The cache of values `V` by their ids `K`; clones are the same one.
pub struct Cache<K, V>(Arc<Inner<K, V>>);

struct Inner<K, V> {
    redis: Redis,
    name: &'static str,
    /// What is being read: whoever wants the same waits for it instead of reading it again.
    flights: Mutex<HashMap<K, Flight<V>>>,
    /// What could not be deleted, with the version of its fence and the time when it is gone anyway.
    owed: Mutex<HashMap<K, (i64, Instant)>>,
    /// Until when readers pass over Redis.
    passed_over: Mutex<Option<Instant>>,
    away: AtomicBool,
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Copy + Eq + Hash + Display, V: Serialize + DeserializeOwned> Cache<K, V> {
    /// An empty view of what Redis holds under this name, which is also that of its figures.
    pub fn new(redis: Redis, name: &'static str) -> Self {
        Self(Arc::new(Inner {
            redis,
            name,
            flights: Mutex::default(),
            owed: Mutex::default(),
            passed_over: Mutex::default(),
            away: AtomicBool::new(false),
        }))
    }

    fn key(&self, id: K) -> String {
        self.0.redis.key(format_args!("{}:{id}", self.0.name))
    }

    fn fence_key(&self, id: K) -> String {
        self.0.redis.key(format_args!("{}_fence:{id}", self.0.name))
    }

    /// The value, from the cache or from `read`, which also says its version. Requests for one
    /// value share one read.
    pub async fn find(
        &self,
        id: K,
        read: impl Future<Output = Result<Option<(i64, V)>, sqlx::Error>>,
    ) -> Outcome<V> {
        let flight = Arc::clone(locked(&self.0.flights).entry(id).or_default());
        let landing = Landing { cache: self, id, flight: &flight };
        let outcome = flight.get_or_init(|| Box::pin(self.found(id, read))).await.clone();
        drop(landing);
        outcome
    }

    async fn found(
        &self,
        id: K,
        read: impl Future<Output = Result<Option<(i64, V)>, sqlx::Error>>,
    ) -> Outcome<V> {
        if let Some(value) = self.get(id).await {
            return Ok(Some(Arc::new(value)));
        }
        let Some((version, value)) = read.await.map_err(Arc::new)? else {
            return Ok(None);
        };
        self.put(id, version, &value).await;
        Ok(Some(Arc::new(value)))
    }

    /// What the cache holds.
    pub async fn get(&self, id: K) -> Option<V> {
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
        LOOKED_UP.with_label_values(&[self.0.name, outcome]).inc();
        // What another release has put there in another shape is as good as nothing.
        serde_json::from_str(&found??).ok()
    }

    /// Puts what was read from Postgres, unless it has changed since.
    pub async fn put(&self, id: K, version: i64, value: &V) {
        let json = serde_json::to_string(value).expect("cached values are plain");
        let mut script = PUT.prepare_invoke();
        script.key(self.key(id)).key(self.fence_key(id));
        script.arg(version).arg(json).arg(TTL.as_secs());
        let mut redis = self.0.redis.connection();
        let put = self.asked(script.invoke_async::<bool>(&mut redis)).await;
        if put == Some(false) {
            REFUSED.with_label_values(&[self.0.name]).inc();
        }
    }

    /// A value is about to get this version: call it inside the transaction, before the commit.
    /// What Redis does not do now it is asked for again until it does.
    pub async fn invalidate(&self, id: K, version: i64) {
        // Deleting takes part in no passing over: every try counts. But once something is owed,
        // whoever settles it finds out that Redis is back, and nobody else waits for that.
        let waits = !locked(&self.0.owed).is_empty();
        if waits {
            self.owe(id, version);
        } else if let Err(error) = self.delete(id, version).await {
            self.notice(Err(&error));
            self.owe(id, version);
        }
    }

    fn owe(&self, id: K, version: i64) {
        let mut owed = locked(&self.0.owed);
        let (owed, gone) = owed.entry(id).or_insert((version, Instant::now() + TTL));
        (*owed, *gone) = (version.max(*owed), Instant::now() + TTL);
    }

    /// The change is committed: whoever asks from now on must not join a read that began before.
    pub fn committed(&self, id: K) {
        locked(&self.0.flights).remove(&id);
    }

    async fn delete(&self, id: K, version: i64) -> Result<(), RedisError> {
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
        let (away, cache) = (outcome.is_err(), self.0.name);
        *locked(&self.0.passed_over) = away.then(|| Instant::now() + PAUSE);
        let was_away = self.0.away.swap(away, Ordering::Relaxed);
        match outcome {
            Err(error) if !was_away => {
                let error = chain(error);
                tracing::warn!(error, cache, "the cache is away; Postgres is asked instead");
            }
            Ok(()) if was_away => tracing::info!(cache, "the cache is back"),
            _ => {}
        }
    }
}

/// Ends a flight when the first of its passengers leaves, be it with an answer or because the
/// request was dropped; the others keep the flight that they are on.
struct Landing<'a, K: Copy + Eq + Hash, V> {
    cache: &'a Cache<K, V>,
    id: K,
    flight: &'a Flight<V>,
}

impl<K: Copy + Eq + Hash, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        let mut flights = locked(&self.cache.0.flights);
        if flights.get(&self.id).is_some_and(|flight| Arc::ptr_eq(flight, self.flight)) {
            flights.remove(&self.id);
        }
    }
}
