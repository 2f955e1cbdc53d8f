//! What the catalog does about stock and reviews.

use contracts::events::{ReviewPosted, StockAvailable, StockDepleted, StockInUse, StockRetired};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::subscription::HandlerError;
use sqlx::{PgConnection, PgPool};

use crate::db;
use crate::deleting::{Deleting, Verdict};

/// Everything that the catalog listens to.
pub(crate) fn inbox(consumer: &'static str, pool: PgPool, deleting: Deleting) -> Inbox {
    Inbox::new(consumer, pool)
        .on::<StockRetired>(deleting.clone())
        .on::<StockInUse>(deleting)
        .on::<StockAvailable>(Told)
        .on::<StockDepleted>(Told)
        .on::<ReviewPosted>(Told)
}

/// Keeps what others tell of products, for filters and sorts. A product that is not here has gone.
struct Told;

/// Of one SKU there are units and there are none in turns, told in that order under one key: the last to
/// come is true.
impl Handle<StockAvailable> for Told {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<StockAvailable>,
    ) -> Result<(), HandlerError> {
        let StockAvailable { product_id, sku, .. } = &delivery.event;
        Ok(db::set_stocked(tx, *product_id, sku, true).await?)
    }
}

impl Handle<StockDepleted> for Told {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<StockDepleted>,
    ) -> Result<(), HandlerError> {
        let StockDepleted { product_id, sku, .. } = &delivery.event;
        Ok(db::set_stocked(tx, *product_id, sku, false).await?)
    }
}

impl Handle<ReviewPosted> for Told {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ReviewPosted>,
    ) -> Result<(), HandlerError> {
        let ReviewPosted { product_id, count, sum, version, .. } = delivery.event;
        let sum = i64::try_from(sum).map_err(HandlerError::permanent)?;
        Ok(db::rate(tx, product_id, (count.into(), sum), version).await?)
    }
}

impl Handle<StockRetired> for Deleting {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<StockRetired>,
    ) -> Result<(), HandlerError> {
        Ok(self.answered(tx, delivery.event.product_id, Verdict::Retired).await?)
    }
}

impl Handle<StockInUse> for Deleting {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<StockInUse>,
    ) -> Result<(), HandlerError> {
        let StockInUse { product_id, reserved } = delivery.event;
        Ok(self.answered(tx, product_id, Verdict::InUse(reserved)).await?)
    }
}
