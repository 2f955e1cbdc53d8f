//! How often a client may ask: a token bucket per client, kept in Redis so that all pods of the
//! gateway count together. Without Redis the shop stays open and nobody is limited.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use kit::metric;
use kit::problem::{Problem, RATE_LIMITED};
use kit::redis::Redis;
use prometheus::{IntCounter, IntCounterVec};
use redis::{RedisError, RedisResult, Script};

/// How long Redis is left alone after it has failed, so that not every request waits for it.
const PAUSE: Duration = Duration::from_secs(1);

static REFUSED: LazyLock<IntCounterVec> = metric!(
    counter,
    "gateway_rate_limited_total",
    "Requests that were refused because a client sent too many, by limit.",
    &["limit"]
);
static UNCOUNTED: LazyLock<IntCounter> = metric!(
    counter,
    "gateway_rate_limit_unavailable_total",
    "Requests that were let through uncounted because Redis did not answer."
);

/// The bucket as the moment when it will be full again (the "theoretical arrival time" of the
/// generic cell rate algorithm): one number, one step, nothing to refill. Times in microseconds,
/// by the clock of Redis, which all pods share.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local window, cost = 60000000, math.floor(60000000 / ARGV[1])
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + cost
        local missing = full - now - window
        if missing > 0 then
            return {0, 0, math.ceil(missing / 1000000)}
        end
        local ttl = math.ceil((full - now) / 1000)
        redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', ttl)
        return {1, math.floor(-missing / cost), math.ceil((full - now) / 1000000)}
        ",
    )
});

/// A limit on requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Tells its buckets and its headers from those of other limits.
    pub name: &'static str,
    /// Requests a minute, all of which may come at once.
    pub per_minute: u32,
}

/// What a client may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    limit: Limit,
    allowed: bool,
    remaining: u32,
    /// Seconds until the bucket is full again or, if it is empty, until it has one token.
    reset: u32,
}

impl Allowance {
    /// Refuses who has asked too often.
    pub fn check(&self) -> Result<(), Problem> {
        if self.allowed {
            return Ok(());
        }
        REFUSED.with_label_values(&[self.limit.name]).inc();
        let detail = format!("at most {} a minute", self.limit.per_minute);
        let problem = Problem::new(RATE_LIMITED, detail);
        let problem = problem.header(header::RETRY_AFTER, HeaderValue::from(self.reset.max(1)));
        Err(self.fields().into_iter().fold(problem, |problem, (name, value)| {
            problem.header(HeaderName::from_static(name), value)
        }))
    }

    /// Tells the client where it stands.
    pub fn tell(&self, headers: &mut HeaderMap) {
        for (name, value) in self.fields() {
            headers.insert(name, value);
        }
    }

    /// Fields of draft-ietf-httpapi-ratelimit-headers-10.
    fn fields(&self) -> [(&'static str, HeaderValue); 2] {
        let Limit { name, per_minute } = self.limit;
        let value = |text: String| HeaderValue::try_from(text).expect("names are plain words");
        [
            ("ratelimit-policy", value(format!("\"{name}\";q={per_minute};w=60"))),
            ("ratelimit", value(format!("\"{name}\";r={};t={}", self.remaining, self.reset))),
        ]
    }
}

/// Counts requests.
pub struct Limiter {
    redis: Redis,
    shop: String,
    /// Until when Redis is left alone, while it is away.
    away: Mutex<Option<Instant>>,
}

impl Limiter {
    /// Counts for this shop.
    pub fn new(redis: Redis, shop: &str) -> Self {
        Self { redis, shop: shop.to_owned(), away: Mutex::new(None) }
    }

    /// Takes a token of this client's; `None` if nobody can tell how many there are.
    pub async fn take(&self, limit: Limit, client: &str) -> Option<Allowance> {
        if self.is_left_alone() {
            UNCOUNTED.inc();
            return None;
        }
        match self.ask(limit, client).await {
            Ok((allowed, remaining, reset)) => {
                self.note(None);
                Some(Allowance { limit, allowed, remaining, reset })
            }
            Err(error) => {
                UNCOUNTED.inc();
                self.note(Some(&error));
                None
            }
        }
    }

    async fn ask(&self, limit: Limit, client: &str) -> RedisResult<(bool, u32, u32)> {
        let key = self.redis.key(format_args!("gateway:{}:{}:{client}", self.shop, limit.name));
        let mut redis = self.redis.connection();
        TAKE.key(key).arg(limit.per_minute).invoke_async(&mut redis).await
    }

    fn is_left_alone(&self) -> bool {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|until| Instant::now() < until)
    }

    /// One line per change, however many requests notice it.
    fn note(&self, failure: Option<&RedisError>) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        match (failure, away.is_some()) {
            (Some(error), false) => tracing::warn!(%error, "Redis is away: nobody is limited"),
            (None, true) => tracing::warn!("Redis is back: clients are limited again"),
            _ => {}
        }
        *away = failure.map(|_| Instant::now() + PAUSE);
    }
}
