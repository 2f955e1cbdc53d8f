//! What other services may know of accounts.

use chrono::{TimeDelta, Utc};
use contracts::UserId;
use contracts::proto::user::users_server::{Users, UsersServer};
use contracts::proto::user::{
    GetStandingRequest, GetUserRequest, ListBlockedRequest, ListBlockedResponse, Standing, User,
};
use sqlx::PgPool;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::account::role_name;
use crate::cache::Cache;
use crate::db::{self, sessions};
use crate::token::ACCESS_LIFETIME;

/// Twice as long as a token lives: clocks differ, and a block takes effect a moment after its time.
const LISTED: TimeDelta = TimeDelta::seconds(2 * ACCESS_LIFETIME.num_seconds());

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
        let id = account_id(&request.into_inner().id)?;
        let account = self.profiles.find(&self.pool, id).await;
        let account = account.map_err(|error| unreadable(&error))?.ok_or_else(unknown)?;
        Ok(Response::new(User { id: account.id.to_string(), name: account.name.clone() }))
    }

    async fn get_standing(
        &self,
        request: Request<GetStandingRequest>,
    ) -> Result<Response<Standing>, Status> {
        let GetStandingRequest { id, session } = request.into_inner();
        let id = account_id(&id)?;
        let read = async {
            let mut connection = self.pool.acquire().await?;
            let session_ended = match session.as_deref().map(str::parse) {
                Some(Ok(session)) => !sessions::lives(&mut connection, session).await?,
                // What is no id names no session.
                Some(Err(_)) => true,
                None => false,
            };
            Ok((db::account(&mut connection, id).await?, session_ended))
        };
        let (account, session_ended) =
            read.await.map_err(|error: sqlx::Error| unreadable(&error))?;
        let account = account.ok_or_else(unknown)?;
        let roles = account.roles.iter().map(|role| role_name(*role).to_owned()).collect();
        Ok(Response::new(Standing { roles, blocked: account.blocked, session_ended }))
    }

    async fn list_blocked(
        &self,
        _: Request<ListBlockedRequest>,
    ) -> Result<Response<ListBlockedResponse>, Status> {
        let since = Utc::now() - LISTED;
        let read = async { db::blocked_since(&mut *self.pool.acquire().await?, since).await };
        let blocked = read.await.map_err(|error| unreadable(&error))?;
        let ids = blocked.iter().map(UserId::to_string).collect();
        Ok(Response::new(ListBlockedResponse { ids }))
    }
}

/// What is no id names no account.
fn account_id(text: &str) -> Result<UserId, Status> {
    text.parse().map_err(|_| unknown())
}

fn unknown() -> Status {
    Status::not_found("there is no such account")
}

fn unreadable(error: &(dyn std::error::Error + 'static)) -> Status {
    tracing::error!(error = kit::telemetry::chain(error), "an account cannot be read");
    Status::unavailable("please try again later")
}
