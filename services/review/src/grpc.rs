//! Ratings as other services may see them.

use contracts::proto::review::reviews_server::{Reviews, ReviewsServer};
use contracts::proto::review::{GetRatingsRequest, GetRatingsResponse, Rating};
use kit::telemetry::chain;
use sqlx::PgPool;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::db;

/// Most products in one question.
const MAX_IDS: usize = 500;

/// The gRPC API.
pub(crate) fn routes(pool: PgPool) -> Routes {
    Routes::new(ReviewsServer::new(Server(pool)))
}

struct Server(PgPool);

#[tonic::async_trait]
impl Reviews for Server {
    async fn get_ratings(
        &self,
        request: Request<GetRatingsRequest>,
    ) -> Result<Response<GetRatingsResponse>, Status> {
        let ids = request.into_inner().product_ids;
        if ids.len() > MAX_IDS {
            return Err(Status::invalid_argument(format!("at most {MAX_IDS} ids")));
        }
        let ids: Vec<Uuid> = ids
            .iter()
            .map(|id| id.parse().map_err(|_| Status::invalid_argument("an id is a UUID")))
            .collect::<Result<_, _>>()?;
        let found = async { db::tallies(&mut *self.0.acquire().await?, &ids).await };
        let found = found.await.map_err(|error| {
            tracing::error!(error = chain(&error), "ratings cannot be read");
            Status::unavailable("ratings cannot be read")
        })?;
        let ratings = found.into_iter().map(|(product, tally)| Rating {
            product_id: product.to_string(),
            count: tally.count,
            sum: tally.sum,
        });
        Ok(Response::new(GetRatingsResponse { ratings: ratings.collect() }))
    }
}
