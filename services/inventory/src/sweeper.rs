//! Gives back what is held for orders that nobody has heard of for too long, and watches how many
//! SKUs are low. Runs in every replica; a reservation that one of them looks at is passed over by
//! the others.

use std::sync::LazyLock;
use std::time::Duration;

use kit::metric;
use kit::outbox::Outbox;
use kit::worker::Wake;
use prometheus::Gauge;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::stock::{Kind, State};
use crate::{db, events};

/// How long the order itself has, after its time, to say what becomes of it.
pub const GRACE: Duration = Duration::from_mins(1);
/// How often to look.
const INTERVAL: Duration = Duration::from_secs(5);

static LOW: LazyLock<Gauge> =
    metric!(gauge, "stock_low_skus", "SKUs with no more available units than their threshold.");

/// Sweeps until stopped. Reservations last for `ttl`.
pub async fn run(pool: PgPool, outbox: Outbox, ttl: Duration, stop: CancellationToken) {
    let round = || round(pool.clone(), outbox.clone(), ttl);
    Wake::default().run("sweeper", INTERVAL, &stop, round).await;
}

async fn round(pool: PgPool, outbox: Outbox, ttl: Duration) -> Result<usize, sqlx::Error> {
    let mut swept = 0;
    while sweep(&pool, &outbox, ttl).await? {
        swept += 1;
    }
    let low = db::count_low(&mut *pool.acquire().await?).await?;
    LOW.set(f64::from(u32::try_from(low).unwrap_or(u32::MAX)));
    Ok(swept)
}

/// Gives back one overdue reservation, if there is one. One per transaction: two would have to lock
/// the stock of both in one order.
pub async fn sweep(pool: &PgPool, outbox: &Outbox, ttl: Duration) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let Some(order) = db::lock_overdue(&mut tx, GRACE, ttl).await? else {
        return Ok(false);
    };
    events::give_back(outbox, &mut tx, order, Kind::Release, State::Expired).await?;
    tx.commit().await?;
    tracing::info!(order_id = %order, "a reservation has expired");
    Ok(true)
}
