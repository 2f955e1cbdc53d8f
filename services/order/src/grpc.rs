//! Orders for other services.

use contracts::proto::order::orders_server::Orders;
use contracts::proto::order::{HasReceivedRequest, HasReceivedResponse};
use contracts::{ProductId, UserId};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::db;

/// The gRPC API.
#[derive(Clone, Debug)]
pub struct Api(pub PgPool);

#[tonic::async_trait]
impl Orders for Api {
    async fn has_received(
        &self,
        request: Request<HasReceivedRequest>,
    ) -> Result<Response<HasReceivedResponse>, Status> {
        let HasReceivedRequest { user_id, product_id } = request.into_inner();
        let user: UserId = user_id.parse().map_err(|_| invalid("user_id"))?;
        let product: ProductId = product_id.parse().map_err(|_| invalid("product_id"))?;
        let received = async {
            let mut connection = self.0.acquire().await?;
            db::has_received(&mut connection, user, product).await
        };
        let received = received.await.map_err(|error| {
            tracing::error!(error = kit::telemetry::chain(&error), "failed");
            Status::unavailable("please try again later")
        })?;
        Ok(Response::new(HasReceivedResponse { received }))
    }
}

fn invalid(field: &str) -> Status {
    Status::invalid_argument(format!("{field} is not a UUID"))
}
