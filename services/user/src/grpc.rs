//! What other services may know of accounts.

use contracts::UserId;
use contracts::proto::user::users_server::{Users, UsersServer};
use contracts::proto::user::{GetUserRequest, User};
use sqlx::PgPool;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::cache::Cache;

/// The gRPC services.
pub fn routes(pool: PgPool, profiles: Cache) -> Routes {
    Routes::new(UsersServer::new(Server { pool, profiles }))
}

struct Server {
    pool: PgPool,
    profiles: Cache,
}

#[tonic::async_trait]
impl Users for Server {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let unknown = || Status::not_found("there is no such account");
        // Whatever is no id names nobody.
        let id: UserId = request.into_inner().id.parse().map_err(|_| unknown())?;
        let account = self.profiles.find(&self.pool, id).await.map_err(|error| {
            tracing::error!(error = kit::telemetry::chain(&error), "an account cannot be read");
            Status::unavailable("please try again later")
        })?;
        let account = account.ok_or_else(unknown)?;
        Ok(Response::new(User { id: account.id.to_string(), name: account.name.clone() }))
    }
}
