//! Whether the roles of a token still hold. A token says what its account could do when it was signed; an administrator
//! who was demoted or blocked since must not go on for the five minutes that it lives.

use std::time::Duration;

use contracts::proto::user::users_client::UsersClient;
use contracts::proto::user::{GetStandingRequest, Standing};
use http::Method;
use kit::auth::{Caller, Role, refused};
use kit::grpc::{Client, Peer};
use kit::problem::{FORBIDDEN, Problem, Result};
use tonic::Code;

use crate::page::call;

/// How long `user` may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Roles by which one account has power over what belongs to others, as `user` spells them.
const PRIVILEGED: [(Role, &str); 2] = [(Role::Seller, "seller"), (Role::Admin, "admin")];

/// Asks `user` what accounts may do now.
pub struct Standings(UsersClient<Client>);

impl Standings {
    /// Asks this service.
    pub fn new(users: &Peer) -> Self {
        Self(UsersClient::new(users.client()))
    }

    /// Refuses a request that changes something if its token names a role that the account has no more. Nothing is cached,
    /// and without `user` nothing is changed.
    pub async fn check(&self, method: &Method, caller: &Caller) -> Result<()> {
        let privileged = PRIVILEGED.iter().any(|(role, _)| caller.roles.contains(role));
        if method.is_safe() || !privileged {
            return Ok(());
        }
        let asked = call(TIMEOUT, || {
            let mut client = self.0.clone();
            let request = GetStandingRequest { id: caller.user_id.to_string() };
            async move { client.get_standing(request).await }
        });
        match asked.await {
            Ok(standing) => judge(&standing, caller),
            Err(status) if status.code() == Code::NotFound => Err(refused()),
            // Pods of the release before do not know the call. They are gone when a rolling update has ended.
            Err(status) if status.code() == Code::Unimplemented => Ok(()),
            Err(status) => Err(Problem::unavailable(status)),
        }
    }
}

fn judge(standing: &Standing, caller: &Caller) -> Result<()> {
    if standing.blocked {
        return Err(refused());
    }
    let lost = |(role, name): (Role, &str)| {
        caller.roles.contains(&role) && !standing.roles.iter().any(|held| held == name)
    };
    if PRIVILEGED.into_iter().any(lost) {
        return Err(Problem::new(FORBIDDEN, "your roles have changed: renew the access token"));
    }
    Ok(())
}
