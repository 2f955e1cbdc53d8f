//! Carts in Redis: one hash each, a field per product. Every change is one script or transaction,
//! so that changes at the same time add up, and begins the cart's 30 days anew.

use std::collections::HashMap;
use std::sync::LazyLock;

use contracts::events::OrderPaid;
use contracts::limits::{MAX_LINES, MAX_QUANTITY};
use contracts::{EventId, ProductId};
use kit::problem::{Problem, Result};
use kit::redis::Redis;
use redis::{AsyncCommands, RedisError, Script};

use crate::cart::{Line, Seen};
use crate::id::CartId;

/// How long an unchanged cart lives, in seconds: 30 days.
pub const LIFE: i64 = 30 * 24 * 60 * 60;
/// How long an event is remembered, in seconds: longer than Kafka keeps it, which is 7 days.
const MEMORY: i64 = 14 * 24 * 60 * 60;

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/put.lua")));
static MERGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/merge.lua")));
static FORGET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/forget.lua")));

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

    /// The lines of a cart, in no order; a cart that does not exist has none.
    pub async fn lines(&self, cart: &CartId) -> Result<Vec<Line>> {
        let fields: HashMap<String, String> = self.0.connection().hgetall(self.key(cart)).await?;
        let lines = fields.iter().map(|(product, line)| read(product, line));
        lines.collect::<Result<_, _>>().map_err(Problem::internal)
    }

    /// Changes a line; `seen` is what the shopper sees of the product now.
    pub async fn put(
        &self,
        cart: &CartId,
        product: ProductId,
        how: How,
        quantity: u32,
        seen: &Seen,
    ) -> Result<Put> {
        let outcome: String = PUT
            .key(self.key(cart))
            .arg(product.to_string())
            .arg(if how == How::Add { "add" } else { "set" })
            .arg(quantity)
            .arg(serde_json::to_string(seen).map_err(Problem::internal)?)
            .arg(chrono::Utc::now().timestamp_millis())
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

    /// Removes a line, if it is there.
    pub async fn remove(&self, cart: &CartId, product: ProductId) -> Result<()> {
        redis::pipe()
            .atomic()
            .hdel(self.key(cart), product.to_string())
            .expire(self.key(cart), LIFE)
            .exec_async(&mut self.0.connection())
            .await?;
        Ok(())
    }

    /// Removes every line.
    pub async fn clear(&self, cart: &CartId) -> Result<()> {
        let () = self.0.connection().del(self.key(cart)).await?;
        Ok(())
    }

    /// Moves all lines of one cart into another, as far as the limits allow.
    pub async fn merge(&self, from: &CartId, to: &CartId) -> Result<()> {
        let left: u64 = MERGE
            .key(self.key(from))
            .key(self.key(to))
            .arg(MAX_QUANTITY)
            .arg(MAX_LINES)
            .arg(LIFE)
            .invoke_async(&mut self.0.connection())
            .await?;
        if left > 0 {
            tracing::info!(left, "a cart was too full for some lines, which stay where they were");
        }
        Ok(())
    }

    /// Takes what was bought out of the buyer's cart, once per event.
    pub async fn forget(&self, id: EventId, order: &OrderPaid) -> Result<(), RedisError> {
        let mut call = FORGET.key(self.key(&CartId::from(order.user_id)));
        call.key(self.0.key(format_args!("cart:inbox:{id}"))).arg(MEMORY);
        for line in &order.lines {
            call.arg(line.product_id.to_string()).arg(line.quantity);
        }
        let () = call.invoke_async(&mut self.0.connection()).await?;
        Ok(())
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reads what the scripts write: `<quantity> <since> <seen>`.
fn read(product: &str, line: &str) -> Result<Line, BoxError> {
    let mut parts = line.splitn(3, ' ');
    let mut part = || parts.next().ok_or("a line of a cart has lost a part");
    Ok(Line {
        product_id: product.parse()?,
        quantity: part()?.parse()?,
        since: part()?.parse()?,
        seen: serde_json::from_str(part()?)?,
    })
}
