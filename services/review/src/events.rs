//! What reviews do about products.

use contracts::events::ProductDeleted;
use kit::inbox::{Delivery, Handle, Inbox};
use kit::subscription::HandlerError;
use sqlx::{PgConnection, PgPool};

use crate::db;

/// Lets go of products that are gone.
struct Products;

/// Everything that reviews listen to.
pub(crate) fn inbox(consumer: &'static str, pool: PgPool) -> Inbox {
    Inbox::new(consumer, pool).on::<ProductDeleted>(Products)
}

impl Handle<ProductDeleted> for Products {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ProductDeleted>,
    ) -> Result<(), HandlerError> {
        let product_id = delivery.event.product_id;
        let reviews = db::let_go(tx, product_id).await?;
        tracing::info!(%product_id, reviews, "the reviews of a deleted product are gone");
        Ok(())
    }
}
