//! Carts in Redis: one hash each, a field per [`Thing`]. Every change is one script, so that changes at the
//! same time add up, and restarts the cart's 30 days.
//!
//! A cart has a version, which every change of its lines raises. It is a key of its own: releases that know of
//! none read every field of the hash as a line.
//!
//! Which carts hold a product nobody writes down. A product that was deleted is noted instead, and whoever
//! reads a cart takes its lines out: see docs/decisions/0052-deleting-products.md.

use std::collections::HashMap;
use std::sync::LazyLock;

use contracts::events::OrderPaid;
use contracts::limits::{MAX_LINES, MAX_QUANTITY};
use contracts::{EventId, ProductId, Sku};
use kit::problem::{Problem, Result};
use kit::redis::Redis;
use redis::{AsyncCommands, RedisError, Script};

use crate::cart::{Contents, Line, Seen, Thing};
use crate::id::CartId;

/// How long an unchanged cart lives, in seconds: 30 days.
pub const LIFE: i64 = 30 * 24 * 60 * 60;
/// How long an event is remembered, in seconds: longer than Kafka keeps it, which is 7 days.
const MEMORY: i64 = 14 * 24 * 60 * 60;
/// How long a deleted product is remembered, in seconds: a day longer than the carts that held it can
/// live without being changed. Whoever changes a cart is shown it, hence reads it.
const MOURNING: u64 = 31 * 24 * 60 * 60;

/// A script that can raise versions.
macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("lua/version.lua"), include_str!($file))))
    };
}

static PUT: LazyLock<Script> = script!("lua/put.lua");
static REMOVE: LazyLock<Script> = script!("lua/remove.lua");
static CLEAR: LazyLock<Script> = script!("lua/clear.lua");
static MERGE: LazyLock<Script> = script!("lua/merge.lua");
static FORGET: LazyLock<Script> = script!("lua/forget.lua");

/// Whether a quantity is added to the line's or replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Added.
    Add,
    /// Replaces.
    Set,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was made.
    Done,
    /// The line would hold more than [`MAX_QUANTITY`].
    TooMuch,
    /// The cart would have more than [`MAX_LINES`].
    TooManyLines,
}

/// Whether a change begins the life of a cart again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Renew,
    Keep,
}

/// The carts.
#[derive(Clone)]
pub struct Store(Redis);

impl Store {
    /// Keeps carts there.
    pub fn new(redis: Redis) -> Self {
        Self(redis)
    }

    fn key(&self, cart: &CartId) -> String {
        self.0.key(format_args!("cart:{cart}"))
    }

    fn version_key(&self, cart: &CartId) -> String {
        self.0.key(format_args!("cart:version:{cart}"))
    }

    fn gone_key(&self, product: ProductId) -> String {
        self.0.key(format_args!("cart:gone:{product}"))
    }

    /// What is in a cart; one that does not exist has no lines. Those of products that were deleted since are
    /// taken out.
    pub async fn contents(&self, cart: &CartId) -> Result<Contents> {
        loop {
            // Of one moment: a version that is newer than the lines would stand for lines that were never shown.
            let (fields, version): (HashMap<String, String>, Option<i64>) = redis::pipe()
                .atomic()
                .hgetall(self.key(cart))
                .get(self.version_key(cart))
                .query_async(&mut self.0.connection())
                .await?;
            let lines = fields.iter().map(|(thing, line)| read(thing, line));
            let lines: Vec<Line> = lines.collect::<Result<_, _>>().map_err(Problem::internal)?;
            let gone = self.deleted(&lines).await?;
            if gone.is_empty() {
                return Ok(Contents { lines, version: version.unwrap_or_default() });
            }
            // They cannot be put in again: the next look finds none.
            self.drop_lines(cart, Life::Keep, &gone).await?;
        }
    }

    /// Fields of lines whose products were deleted.
    async fn deleted(&self, lines: &[Line]) -> Result<Vec<String>> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = lines.iter().map(|line| self.gone_key(line.thing.product_id)).collect();
        let notes: Vec<Option<String>> = self.0.connection().mget(keys).await?;
        let deleted = lines.iter().zip(notes).filter(|(_, note)| note.is_some());
        Ok(deleted.map(|(line, _)| line.thing.to_string()).collect())
    }

    async fn drop_lines(&self, cart: &CartId, life: Life, fields: &[String]) -> Result<()> {
        let mut call = REMOVE.key(self.key(cart));
        call.key(self.version_key(cart)).arg(now()).arg(LIFE);
        call.arg(if life == Life::Renew { "renew" } else { "keep" }).arg(fields);
        let () = call.invoke_async(&mut self.0.connection()).await?;
        Ok(())
    }

    /// Notes that a product was deleted: no cart shows it any more.
    pub async fn let_go(&self, product: ProductId) -> Result<(), RedisError> {
        self.0.connection().set_ex(self.gone_key(product), "1", MOURNING).await
    }

    /// Changes a line; `seen` is what the shopper sees of the thing now.
    pub async fn put(
        &self,
        cart: &CartId,
        thing: &Thing,
        how: How,
        quantity: u32,
        seen: &Seen,
    ) -> Result<Put> {
        let outcome: String = PUT
            .key(self.key(cart))
            .key(self.version_key(cart))
            .arg(thing.to_string())
            .arg(if how == How::Add { "add" } else { "set" })
            .arg(quantity)
            .arg(serde_json::to_string(seen).map_err(Problem::internal)?)
            .arg(now())
            .arg(MAX_QUANTITY)
            .arg(MAX_LINES)
            .arg(LIFE)
            .invoke_async(&mut self.0.connection())
            .await?;
        Ok(match outcome.as_str() {
            "too much" => Put::TooMuch,
            "too many lines" => Put::TooManyLines,
            _ => Put::Done,
        })
    }

    /// Removes the line of a product as it is, or of the thing with this SKU, if it is there.
    pub async fn remove(&self, cart: &CartId, product: ProductId, sku: Option<Sku>) -> Result<()> {
        let mut thing = Thing { product_id: product, variant: sku };
        if let Some(sku) = &thing.variant {
            // It may be the product's own.
            let lines = self.contents(cart).await?.lines;
            let own = Thing { product_id: product, variant: None };
            if lines.iter().any(|line| line.thing == own && line.seen.sku == *sku) {
                thing = own;
            }
        }
        self.drop_lines(cart, Life::Renew, &[thing.to_string()]).await
    }

    /// Removes every line.
    pub async fn clear(&self, cart: &CartId) -> Result<()> {
        let mut call = CLEAR.key(self.key(cart));
        call.key(self.version_key(cart)).arg(now()).arg(LIFE);
        let () = call.invoke_async(&mut self.0.connection()).await?;
        Ok(())
    }

    /// Moves all lines of one cart into another, as far as the limits allow.
    pub async fn merge(&self, from: &CartId, to: &CartId) -> Result<()> {
        let left: u64 = MERGE
            .key(self.key(from))
            .key(self.key(to))
            .key(self.version_key(from))
            .key(self.version_key(to))
            .arg(MAX_QUANTITY)
            .arg(MAX_LINES)
            .arg(LIFE)
            .arg(now())
            .invoke_async(&mut self.0.connection())
            .await?;
        if left > 0 {
            tracing::info!(left, "a cart was too full for some lines, which stay where they were");
        }
        Ok(())
    }

    /// Takes what was bought out of the cart that it was ordered from, once per event.
    pub async fn forget(&self, id: EventId, order: &OrderPaid) -> Result<(), RedisError> {
        let Some(cart) = CartId::ordered(order) else {
            return Ok(());
        };
        let mut call = FORGET.key(self.key(&cart));
        call.key(self.version_key(&cart)).key(self.0.key(format_args!("cart:inbox:{id}")));
        call.arg(MEMORY).arg(now()).arg(LIFE);
        for line in &order.lines {
            call.arg(line.product_id.to_string()).arg(line.sku.as_str()).arg(line.quantity);
        }
        let () = call.invoke_async(&mut self.0.connection()).await?;
        Ok(())
    }
}

/// In milliseconds since the epoch.
fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reads what the scripts write: `<quantity> <since> <seen>`.
fn read(thing: &str, line: &str) -> Result<Line, BoxError> {
    let mut parts = line.splitn(3, ' ');
    let mut part = || parts.next().ok_or("a line of a cart has lost a part");
    Ok(Line {
        thing: thing.parse()?,
        quantity: part()?.parse()?,
        since: part()?.parse()?,
        seen: serde_json::from_str(part()?)?,
    })
}
