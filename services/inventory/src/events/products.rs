//! What inventory does about the products of the catalog: it keeps whose a SKU is, and says whether a
//! product can be deleted.

use contracts::events::{
    ProductCreated, ProductDeletionRequested, ProductDeletionWithdrawn, ProductUpdated, StockInUse,
    StockRetired,
};
use contracts::{ProductId, UserId};
use kit::inbox::{Delivery, Handle};
use kit::outbox::Outbox;
use kit::subscription::HandlerError;
use sqlx::PgConnection;

use crate::db;
use crate::product::{Deletion, Product, delete, hand_over};

/// Handles the events of products.
#[derive(Clone, Debug)]
pub(super) struct Products {
    /// Where events of stock go.
    pub(super) outbox: Outbox,
}

impl Handle<ProductCreated> for Products {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ProductCreated>,
    ) -> Result<(), HandlerError> {
        let seller = Some(delivery.event.seller_id);
        self.keep(tx, &Product::from(&delivery.event), seller).await
    }
}

impl Handle<ProductUpdated> for Products {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ProductUpdated>,
    ) -> Result<(), HandlerError> {
        let seller = delivery.event.seller_id;
        self.keep(tx, &Product::from(&delivery.event), seller).await
    }
}

impl Products {
    /// Keeps which SKUs are the product's and who sells it, and publishes of which there are units: that was not done while
    /// they were no product's. A SKU that another product has makes the event a dead letter, which people look at: of two who
    /// say that units are theirs one is wrong.
    async fn keep(
        &self,
        tx: &mut PgConnection,
        product: &Product,
        seller: Option<UserId>,
    ) -> Result<(), HandlerError> {
        let rows = db::lock_product(tx, product.id, &product.skus).await?;
        let handover = hand_over(product, &rows).map_err(HandlerError::permanent)?;
        for event in db::own(tx, &handover.taken, Some(product.id)).await? {
            self.outbox.append(tx, &event).await?;
        }
        db::own(tx, &handover.left, None).await?;
        if let Some(seller) = seller {
            db::set_sellers(tx, &[(product.id, seller)]).await?;
        }
        Ok(())
    }

    async fn in_use(
        &self,
        tx: &mut PgConnection,
        product_id: ProductId,
        reserved: i64,
    ) -> Result<(), HandlerError> {
        tracing::info!(%product_id, reserved, "a product is not deleted: some of it is held");
        self.outbox.append(tx, &StockInUse { product_id, reserved }).await?;
        Ok(())
    }
}

impl Handle<ProductDeletionRequested> for Products {
    /// Reservations lock the same rows: whichever comes first, the other sees what it has done.
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ProductDeletionRequested>,
    ) -> Result<(), HandlerError> {
        let ProductDeletionRequested { product_id, skus } = &delivery.event;
        let rows = db::lock_product(tx, *product_id, skus).await?;
        let nobodys = match delete(*product_id, &rows) {
            Deletion::InUse(reserved) => return self.in_use(tx, *product_id, reserved).await,
            Deletion::Retire(nobodys) => nobodys,
        };
        db::own(tx, &nobodys, Some(*product_id)).await?;
        db::set_retired(tx, *product_id, true).await?;
        self.outbox.append(tx, &StockRetired { product_id: *product_id }).await?;
        Ok(())
    }
}

impl Handle<ProductDeletionWithdrawn> for Products {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ProductDeletionWithdrawn>,
    ) -> Result<(), HandlerError> {
        let ProductDeletionWithdrawn { product_id, skus } = &delivery.event;
        // For the order of the locks.
        db::lock_product(tx, *product_id, skus).await?;
        db::set_retired(tx, *product_id, false).await?;
        Ok(())
    }
}
