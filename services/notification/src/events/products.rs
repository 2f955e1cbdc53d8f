//! What is sold: names for letters, and who hears that there is more or little of it.

use contracts::events::{
    FavouriteAvailable, ProductCreated, ProductDeleted, ProductUpdated, StockLow,
};
use kit::inbox::{Delivery, Handle};
use kit::subscription::HandlerError;
use sqlx::PgConnection;

use super::Teller;
use crate::db::products::{self, Notice};
use crate::letter::Letter;

impl Handle<ProductCreated> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ProductCreated>,
    ) -> Result<(), HandlerError> {
        let ProductCreated { product_id, sku, name, seller_id, variants, .. } = &delivery.event;
        products::put(tx, *product_id, (name, Some(*seller_id)), sku, variants).await?;
        Ok(())
    }
}

impl Handle<ProductUpdated> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ProductUpdated>,
    ) -> Result<(), HandlerError> {
        let ProductUpdated { product_id, sku, name, seller_id, variants, .. } = &delivery.event;
        products::put(tx, *product_id, (name, *seller_id), sku, variants).await?;
        Ok(())
    }
}

impl Handle<ProductDeleted> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<ProductDeleted>,
    ) -> Result<(), HandlerError> {
        products::remove(tx, delivery.event.product_id).await?;
        Ok(())
    }
}

impl Handle<FavouriteAvailable> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<FavouriteAvailable>,
    ) -> Result<(), HandlerError> {
        let FavouriteAvailable { user_id, product_id, sku } = &delivery.event;
        if !products::notice(tx, *user_id, Notice::Available(*product_id)).await? {
            return Ok(());
        }
        let name = products::find(tx, sku).await?.map(products::Named::full_name);
        let letter = Letter::FavouriteAvailable { product_id: *product_id, name };
        self.write(tx, delivery.id, *user_id, &letter).await
    }
}

impl Handle<StockLow> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<StockLow>,
    ) -> Result<(), HandlerError> {
        let StockLow { stock_id, sku, available, threshold } = delivery.event.clone();
        let named = products::find(tx, &sku).await?;
        // Nobody is told of stock without a product: events name no administrators.
        let Some((seller, named)) = named.and_then(|named| Some((named.seller?, named))) else {
            return Ok(());
        };
        if !products::notice(tx, seller, Notice::Low(stock_id)).await? {
            return Ok(());
        }
        let letter = Letter::StockLow { sku, name: named.full_name(), available, threshold };
        self.write(tx, delivery.id, seller, &letter).await
    }
}
