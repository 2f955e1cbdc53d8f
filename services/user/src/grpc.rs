//! What other services may know of accounts.

use contracts::UserId;
use contracts::proto::user::users_server::{Users, UsersServer};
use contracts::proto::user::{GetUserRequest, User};
use sqlx::PgPool;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::db;

/// The gRPC services.
pub fn routes(pool: PgPool) -> Routes {
    Routes::new(UsersServer::new(Server(pool)))
}

struct Server(PgPool);

#[tonic::async_trait]
impl Users for Server {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let unknown = || Status::not_found("there is no such account");
        // Whatever is no id names nobody.
        let id: UserId = request.into_inner().id.parse().map_err(|_| unknown())?;
        let account = async {
            let mut connection = self.0.acquire().await?;
            db::account(&mut connection, id).await
        };
        let account = account.await.map_err(|error| {
            tracing::error!(error = kit::telemetry::chain(&error), "an account cannot be read");
            Status::unavailable("please try again later")
        })?;
        let account = account.ok_or_else(unknown)?;
        Ok(Response::new(User { id: account.id.to_string(), name: account.name }))
    }
}
