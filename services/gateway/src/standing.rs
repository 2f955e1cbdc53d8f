//! Whether a token still holds. It says what its account could do when it was signed: an account that was blocked or demoted
//! since must not go on for the five minutes that it lives, nor staff whose session has ended.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use contracts::UserId;
use contracts::proto::user::users_client::UsersClient;
use contracts::proto::user::{GetStandingRequest, ListBlockedRequest, Standing};
use http::Method;
use kit::auth::{Caller, Role, refused};
use kit::grpc::{Client, Peer};
use kit::problem::{FORBIDDEN, Problem, Result};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::page::call;

/// How long `user` may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often the blocked accounts are listed.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Roles by which one account has power over what belongs to others, as `user` spells them.
const PRIVILEGED: [(Role, &str); 2] = [(Role::Seller, "seller"), (Role::Admin, "admin")];

/// What accounts may do now, as `user` says.
pub struct Standings {
    users: UsersClient<Client>,
    /// Accounts that are blocked while their tokens live, as of the last poll that succeeded.
    blocked: RwLock<HashSet<UserId>>,
}

impl Standings {
    /// Asks this service.
    pub fn new(users: &Peer) -> Self {
        Self { users: UsersClient::new(users.client()), blocked: RwLock::default() }
    }

    /// Refuses every request of a blocked account, and one that changes something if its token names a role that the account
    /// has no more, or a session that has ended. For the latter nothing is cached, and without `user` nothing is changed: staff
    /// has power over others.
    pub async fn check(&self, method: &Method, caller: &Caller) -> Result<()> {
        if self.blocked.read().unwrap_or_else(PoisonError::into_inner).contains(&caller.user_id) {
            return Err(refused());
        }
        let privileged = PRIVILEGED.iter().any(|(role, _)| caller.roles.contains(role));
        if method.is_safe() || !privileged {
            return Ok(());
        }
        let asked = call(TIMEOUT, || {
            let mut client = self.users.clone();
            let session = caller.session.map(|session| session.to_string());
            let request = GetStandingRequest { id: caller.user_id.to_string(), session };
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

    /// Lists the blocked accounts again. While `user` does not answer, those that are known stay refused.
    pub async fn refresh(&self) -> Result<(), Status> {
        let listed = call(TIMEOUT, || {
            let mut client = self.users.clone();
            async move { client.list_blocked(ListBlockedRequest {}).await }
        });
        let listed = match listed.await {
            // As above.
            Err(status) if status.code() == Code::Unimplemented => return Ok(()),
            listed => listed?,
        };
        let blocked = listed.ids.iter().filter_map(|id| id.parse().ok()).collect();
        *self.blocked.write().unwrap_or_else(PoisonError::into_inner) = blocked;
        Ok(())
    }

    /// Lists them until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) -> Result<(), Infallible> {
        let mut tick = interval(POLL_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fails = false;
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let failed = self.refresh().await.err();
            // Once for an outage, not for every poll.
            if let Some(status) = failed.as_ref().filter(|_| !fails) {
                let (code, error) = (status.code(), status.message());
                tracing::warn!(?code, error, "blocked accounts cannot be listed");
            }
            fails = failed.is_some();
        }
        Ok(())
    }
}

fn judge(standing: &Standing, caller: &Caller) -> Result<()> {
    if standing.blocked || standing.session_ended {
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
