//! What the catalog does about stock.

use contracts::events::{StockInUse, StockRetired};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::subscription::HandlerError;
use sqlx::{PgConnection, PgPool};

use crate::deleting::{Deleting, Verdict};

/// Everything that the catalog listens to.
pub(crate) fn inbox(consumer: &'static str, pool: PgPool, deleting: Deleting) -> Inbox {
    Inbox::new(consumer, pool).on::<StockRetired>(deleting.clone()).on::<StockInUse>(deleting)
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
