//! Roles that were taken away, and accounts that were blocked, since their tokens were signed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use contracts::UserId;
use contracts::proto::user::users_server::{Users, UsersServer};
use contracts::proto::user::{GetStandingRequest, GetUserRequest, Standing, User};
use kit::auth::Role;
use kit::testing::Running;
use tonic::service::Routes;
use tonic::{Request, Response, Status, async_trait};

use crate::support::{echo, gateway, problem, serve_grpc};

/// Accounts as the user service knows them, and how often it was asked.
#[derive(Clone, Default)]
struct Accounts(Arc<Mutex<(HashMap<String, Standing>, usize)>>);

impl Accounts {
    fn set(&self, id: UserId, roles: &[&str], blocked: bool) {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self.0.lock().unwrap().0.insert(id.to_string(), Standing { roles, blocked });
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

#[async_trait]
impl Users for Accounts {
    async fn get_user(&self, _: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get_standing(
        &self,
        request: Request<GetStandingRequest>,
    ) -> Result<Response<Standing>, Status> {
        let mut accounts = self.0.lock().unwrap();
        accounts.1 += 1;
        let standing = accounts.0.get(&request.into_inner().id).cloned();
        standing.map(Response::new).ok_or_else(|| Status::not_found("there is no such account"))
    }
}

async fn shop() -> (Running, Accounts) {
    let accounts = Accounts::default();
    let user = serve_grpc(Routes::new(UsersServer::new(accounts.clone()))).await;
    let catalog = echo("catalog").await;
    let variables = [("USER_GRPC_URL", user), ("CATALOG_HTTP_URL", catalog)];
    (gateway(&variables).await, accounts)
}

async fn send(gateway: &Running, user: UserId, roles: &[Role], method: &str) -> reqwest::Response {
    let path = "/api/v1/categories/mugs";
    gateway.request_as(user, roles, method, path).send().await.unwrap()
}

const UNSAFE: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

#[tokio::test]
async fn roles_that_were_taken_away_change_nothing_more() {
    let (gateway, accounts) = shop().await;
    let staff = UserId::new();
    for (role, name) in [(Role::Admin, "admin"), (Role::Seller, "seller")] {
        let roles = [Role::Customer, role];
        for method in UNSAFE {
            accounts.set(staff, &["customer", name], false);
            assert_eq!(send(&gateway, staff, &roles, method).await.status(), 200, "{method}");
            // Nothing is cached: the very next request knows.
            accounts.set(staff, &["customer"], false);
            let refused = problem(send(&gateway, staff, &roles, method).await).await;
            assert_eq!(refused, (403, "forbidden".to_owned()), "{method} {name}");
        }
        // Reading goes by the token.
        assert_eq!(send(&gateway, staff, &roles, "GET").await.status(), 200);
    }
}

#[tokio::test]
async fn blocked_and_unknown_staff_are_not_let_in() {
    let (gateway, accounts) = shop().await;
    let (blocked, unknown) = (UserId::new(), UserId::new());
    accounts.set(blocked, &["admin"], true);
    for user in [blocked, unknown] {
        for method in UNSAFE {
            let refused = send(&gateway, user, &[Role::Admin], method).await;
            assert_eq!(refused.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
            assert_eq!(problem(refused).await, (401, "unauthenticated".to_owned()), "{method}");
        }
    }
}

#[tokio::test]
async fn shoppers_and_readers_are_not_asked_about() {
    let (gateway, accounts) = shop().await;
    for method in UNSAFE {
        let answer = send(&gateway, UserId::new(), &[Role::Customer], method).await;
        assert_eq!(answer.status(), 200, "{method}");
    }
    assert_eq!(send(&gateway, UserId::new(), &[Role::Admin], "GET").await.status(), 200);
    assert_eq!(gateway.request("POST", "/api/v1/categories").send().await.unwrap().status(), 200);
    assert_eq!(accounts.asked(), 0);
}

#[tokio::test]
async fn without_the_user_service_staff_only_reads() {
    let gateway = gateway(&[("CATALOG_HTTP_URL", echo("catalog").await)]).await;
    for role in [Role::Seller, Role::Admin] {
        for method in UNSAFE {
            let refused = send(&gateway, UserId::new(), &[role], method).await;
            assert_eq!(refused.headers()["retry-after"], "1");
            assert_eq!(problem(refused).await, (503, "unavailable".to_owned()), "{method}");
        }
        assert_eq!(send(&gateway, UserId::new(), &[role], "GET").await.status(), 200);
    }
    assert_eq!(send(&gateway, UserId::new(), &[Role::Customer], "POST").await.status(), 200);
}
