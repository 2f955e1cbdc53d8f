//! Makes the read model of orders anew from their events, while the service runs and takes orders.
//!
//! It goes through all orders by id, in batches. A batch is one transaction: it locks the rows, as
//! every step of an order does, *then* reads the events, and so sees each step that was taken
//! before and holds up those that follow for a moment. What is placed behind it meanwhile is right
//! by itself. Whoever calls it twice changes nothing the second time.

use std::collections::{HashMap, HashSet};
use std::fmt;

use contracts::{OrderId, UserId};
use futures_util::future::join_all;
use kit::config::{Env, FromEnv};
use kit::{StartError, postgres, redis};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::cache::Cache;
use crate::db;
use crate::db::Stored;
use crate::order::Order;

/// Orders in one transaction: shoppers wait for all of them when they wait for one.
const BATCH: i64 = 100;

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Orders that were looked at.
    pub read: usize,
    /// Their rows were missing, or were not what their events add up to.
    pub changed: usize,
    /// Rows without events, which no order can have.
    pub removed: usize,
    /// Their rows were right.
    pub unchanged: usize,
    /// Their events cannot have happened, or are those of a newer release; left as they are.
    pub impossible: Vec<OrderId>,
}

impl fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, changed, removed, unchanged, impossible } = self;
        write!(f, "{read} orders read: {changed} changed, {removed} removed, ")?;
        write!(f, "{unchanged} left alone, {} impossible", impossible.len())?;
        impossible.iter().try_for_each(|id| write!(f, "\n{id} has an impossible history"))
    }
}

/// What the command is configured by.
struct Settings {
    database: postgres::Settings,
    redis: redis::Settings,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = postgres::Settings::from_env(env);
        let redis = redis::Settings::from_env(env);
        Some(Self { database: database?, redis: redis? })
    }
}

/// `order rebuild`.
pub async fn command(env: Env) -> Result<String, StartError> {
    let settings: Settings = env.parse()?;
    let cache = Cache::new(settings.redis.connect()?);
    let rebuilt = run(&settings.database.pool("order-rebuild")?, &cache, BATCH).await?;
    // People must look at these.
    if rebuilt.impossible.is_empty() {
        Ok(rebuilt.to_string())
    } else {
        Err(rebuilt.to_string().into())
    }
}

/// Rebuilds everything, this many orders at a time.
/// A Redis that is away holds nothing up; lists that it holds may then be old until they end.
pub async fn run(pool: &PgPool, cache: &Cache, batch: i64) -> Result<Rebuilt, sqlx::Error> {
    let (mut rebuilt, mut after) = (Rebuilt::default(), Uuid::nil());
    loop {
        let mut tx = pool.begin().await?;
        db::lock_rebuild(&mut tx).await?;
        let orders = db::batch(&mut tx, after, batch).await?;
        let Some(last) = orders.last() else {
            return Ok(rebuilt);
        };
        let users = mend(&mut tx, &orders, &mut rebuilt).await?;
        if !users.is_empty() {
            let transaction = db::transaction(&mut tx).await?;
            join_all(users.iter().map(|user| cache.invalidate(*user, transaction))).await;
        }
        tx.commit().await?;
        after = *last;
    }
}

/// Makes the rows of some orders what their events add up to. Returns whose lists change by that.
async fn mend(
    tx: &mut PgConnection,
    orders: &[Uuid],
    rebuilt: &mut Rebuilt,
) -> Result<HashSet<UserId>, sqlx::Error> {
    let owners: HashMap<Uuid, UserId> = db::lock_rows(tx, orders).await?.into_iter().collect();
    let mut histories: HashMap<Uuid, Vec<Stored>> = HashMap::new();
    for stored in db::histories(tx, orders).await? {
        histories.entry(stored.order_id).or_default().push(stored);
    }
    let mut users = HashSet::new();
    for id in orders {
        rebuilt.read += 1;
        let owner = owners.get(id).copied();
        let Some(history) = histories.get(id) else {
            db::remove(tx, *id).await?;
            rebuilt.removed += 1;
            users.extend(owner);
            continue;
        };
        match folded(history) {
            None => rebuilt.impossible.push((*id).into()),
            Some(order) if db::store(tx, &order).await? => {
                rebuilt.changed += 1;
                // The row may have stood in the list of somebody else.
                users.extend(owner.into_iter().chain([order.user_id]));
            }
            Some(_) => rebuilt.unchanged += 1,
        }
    }
    Ok(users)
}

/// What a history adds up to; none: it cannot have happened, or lacks something.
fn folded(history: &[Stored]) -> Option<Order> {
    let events = history.iter().map(|stored| Ok((stored.event()?, stored.at)));
    let events: Vec<_> = events.collect::<Result<_, sqlx::Error>>().ok()?;
    let order = Order::fold(events.iter().map(|(event, at)| (event, *at))).ok()??;
    let complete = history.iter().map(|stored| stored.seq).eq(1..=order.version);
    (complete && history.iter().all(|stored| stored.order_id == order.id.uuid())).then_some(order)
}
