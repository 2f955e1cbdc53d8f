//! Money and goods that have to go back: asked for again until they have. `payment` gives back what is left and no more,
//! `inventory` puts into stock what it has not, so that a request may come any number of times.

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use kit::config::{Env, FromEnv};
use kit::outbox::Outbox;
use kit::{StartError, metric, postgres, redis};
use prometheus::{GaugeVec, IntCounter};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::cache::Cache;
use crate::db;
use crate::order::Order;
use crate::saga::Saga;

/// How long the other services may take before they are asked again: far longer than either takes, and than a service
/// takes to start. Doubled each time.
pub const FIRST: Duration = Duration::from_mins(5);
/// Longest time between two requests: a provider that was away for a day is asked soon after it is back.
const LONGEST: Duration = Duration::from_hours(6);
/// After this time people should look: six requests were in vain.
const OVERDUE: Duration = Duration::from_hours(6);
/// Orders in one transaction.
const BATCH: i64 = 100;

static REMINDERS: LazyLock<IntCounter> = metric!(
    counter,
    "order_reminders_total",
    "How often an order's money or goods were asked for again because they had not come back."
);
static OVERDUE_ORDERS: LazyLock<GaugeVec> = metric!(
    gauge,
    "orders_overdue",
    "Orders whose money or goods have not come back for six hours.",
    &["what"]
);

/// Asks again for what has to go back of orders that have waited for it for `first`, and counts those that have waited
/// for too long.
pub async fn reconcile(pool: &PgPool, saga: &Saga, first: Duration) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    for order in db::lock_owed(&mut tx, first, LONGEST, BATCH).await? {
        request(&mut tx, saga, &order).await?;
    }
    let overdue = db::overdue(&mut tx, OVERDUE).await?;
    tx.commit().await?;
    for (what, orders) in [("money", overdue.money), ("goods", overdue.goods)] {
        let orders = u32::try_from(orders).unwrap_or(u32::MAX);
        OVERDUE_ORDERS.with_label_values(&[what]).set(f64::from(orders));
    }
    Ok(())
}

async fn request(tx: &mut PgConnection, saga: &Saga, order: &Order) -> Result<(), sqlx::Error> {
    let times = db::record_request(tx, order.id).await?;
    saga.ask_back(tx, order).await?;
    REMINDERS.inc();
    tracing::warn!(
        order_id = %order.id, state = order.state.word(), times,
        "money or goods have not come back; asked again"
    );
    Ok(())
}

/// What the commands are configured by.
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

/// `order owed`: lists them.
pub async fn list(env: Env) -> Result<String, StartError> {
    let settings: Settings = env.parse()?;
    let pool = settings.database.pool("order-owed")?;
    let (mut text, mut orders, mut after) = (String::new(), 0, Uuid::nil());
    loop {
        let batch = db::owed(&mut *pool.acquire().await?, after, BATCH).await?;
        let Some(last) = batch.last() else { break };
        after = last.order.uuid();
        for owed in &batch {
            let db::Owed { order, state, payment, fulfilment, since, times } = owed;
            let since = since.format("%FT%TZ");
            writeln!(
                text,
                "{order} {state}: money {payment}, goods {fulfilment}, since {since}, asked again {times} times"
            )?;
            orders += 1;
        }
    }
    write!(text, "{orders} orders wait for money or goods")?;
    Ok(text)
}

/// `order request-owed`: asks again for all of it at once, however long it has waited.
pub async fn request_all(env: Env) -> Result<String, StartError> {
    let settings: Settings = env.parse()?;
    let (pool, cache) =
        (settings.database.pool("order-request-owed")?, Cache::new(settings.redis.connect()?));
    let saga = Saga::new(Outbox::default(), cache);
    let (mut orders, mut after) = (0, Uuid::nil());
    loop {
        let mut tx = pool.begin().await?;
        let batch = db::owed(&mut tx, after, BATCH).await?;
        let Some(last) = batch.last() else { break };
        after = last.order.uuid();
        for owed in &batch {
            // What has come meanwhile is not asked for.
            let order = db::lock(&mut tx, owed.order).await?.filter(Order::is_owed);
            if let Some(order) = order {
                request(&mut tx, &saga, &order).await?;
                orders += 1;
            }
        }
        tx.commit().await?;
    }
    Ok(format!("what {orders} orders wait for was asked for again"))
}
