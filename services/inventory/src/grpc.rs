//! Stock as other services may see it.

use contracts::Sku;
use contracts::proto::inventory::inventory_server::{Inventory, InventoryServer};
use contracts::proto::inventory::{GetStockRequest, GetStockResponse, Stock};
use kit::telemetry::chain;
use sqlx::PgPool;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::db;

/// Most SKUs in one question.
const MAX_SKUS: usize = 500;

/// The gRPC API.
pub(crate) fn routes(pool: PgPool) -> Routes {
    Routes::new(InventoryServer::new(Server(pool)))
}

struct Server(PgPool);

#[tonic::async_trait]
impl Inventory for Server {
    async fn get_stock(
        &self,
        request: Request<GetStockRequest>,
    ) -> Result<Response<GetStockResponse>, Status> {
        let mut skus = request.into_inner().skus;
        if skus.len() > MAX_SKUS {
            return Err(Status::invalid_argument(format!("at most {MAX_SKUS} SKUs")));
        }
        // What is no SKU is in no stock.
        skus.retain(|sku| sku.parse::<Sku>().is_ok());
        let stock = self.look_up(&skus).await.map_err(|error| {
            tracing::error!(error = chain(&error), "stock cannot be read");
            Status::unavailable("stock cannot be read")
        })?;
        Ok(Response::new(GetStockResponse { stock }))
    }
}

impl Server {
    async fn look_up(&self, skus: &[String]) -> Result<Vec<Stock>, sqlx::Error> {
        let found = db::available(&mut *self.0.acquire().await?, skus).await?;
        Ok(found.into_iter().map(|(sku, available)| Stock { sku, available }).collect())
    }
}
