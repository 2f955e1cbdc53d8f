//! What the user service does about stock and products: it has those told who keep what is there again, and lets
//! go of what is gone.

use contracts::events::{FavouriteAvailable, ProductDeleted, StockAvailable};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::outbox::Outbox;
use kit::subscription::HandlerError;
use kit::worker::Wake;
use sqlx::{PgConnection, PgPool};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::db::notices::{self, Notice};

/// How many are told in one transaction. A product may be kept by half of the shop.
const BATCH: i64 = 200;
/// How often notices are looked for that nobody has told of: those of a dead process.
const POLL: Duration = Duration::from_secs(5);

/// Everything that the service listens to; `wake` wakes who tells of what is there again.
pub fn inbox(consumer: &'static str, pool: PgPool, wake: &Wake) -> Inbox {
    let favourites = Favourites(wake.clone());
    Inbox::new(consumer, pool)
        .on::<StockAvailable>(favourites.clone())
        .on::<ProductDeleted>(favourites)
}

#[derive(Clone)]
struct Favourites(Wake);

impl Handle<StockAvailable> for Favourites {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<StockAvailable>,
    ) -> Result<(), HandlerError> {
        let StockAvailable { product_id, sku, restocked, .. } = delivery.event.clone();
        if restocked == Some(false) {
            return Ok(());
        }
        let notice = Notice { event_id: delivery.id, product_id, sku, told: None };
        notices::note(tx, &notice).await?;
        self.0.wake();
        Ok(())
    }
}

impl Handle<ProductDeleted> for Favourites {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ProductDeleted>,
    ) -> Result<(), HandlerError> {
        notices::forget(tx, delivery.event.product_id).await?;
        Ok(())
    }
}

/// Tells those who keep what is there again, until told to stop.
pub async fn tell(pool: PgPool, outbox: Outbox, wake: Wake, stop: CancellationToken) {
    wake.run("notices", POLL, &stop, || tell_some(&pool, &outbox)).await;
}

/// Tells the next of them, each once: the outbox and how far the notice has come are one transaction.
async fn tell_some(pool: &PgPool, outbox: &Outbox) -> Result<usize, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let Some(notice) = notices::lock(&mut tx).await? else { return Ok(0) };
    let keepers = notices::keepers(&mut tx, &notice, BATCH).await?;
    for user_id in &keepers {
        let Notice { product_id, sku, .. } = notice.clone();
        let event = FavouriteAvailable { user_id: *user_id, product_id, sku };
        outbox.append(&mut tx, &event).await?;
    }
    match keepers.last() {
        Some(last) => notices::advance(&mut tx, notice.event_id, *last).await?,
        None => notices::finish(&mut tx, notice.event_id).await?,
    }
    tx.commit().await?;
    Ok(1)
}
