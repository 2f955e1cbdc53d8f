//! Roles that were taken away, and accounts that were blocked, since their tokens were signed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use contracts::UserId;
use contracts::proto::user::users_server::{Users, UsersServer};
use contracts::proto::user::{
    GetStandingRequest, GetUserRequest, ListBlockedRequest, ListBlockedResponse, Standing, User,
};
use kit::auth::{Claims, Role};
use kit::testing::{Running, Signer, eventually};
use tonic::service::Routes;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use crate::support::{echo, gateway, problem, serve_grpc};

/// Accounts as the user service knows them.
#[derive(Clone, Default)]
struct Accounts(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    standings: HashMap<String, Standing>,
    ended: HashSet<String>,
    /// How often it was asked about one account, and for the blocked ones.
    asked: usize,
    listed: usize,
    away: bool,
}

impl Known {
    fn present(&self) -> Result<(), Status> {
        if self.away { Err(Status::unavailable("it is away")) } else { Ok(()) }
    }
}

impl Accounts {
    fn set(&self, id: UserId, roles: &[&str], blocked: bool) {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self.known()
            .standings
            .insert(id.to_string(), Standing { roles, blocked, ..Standing::default() });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
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
        let mut known = self.known();
        known.asked += 1;
        known.present()?;
        let GetStandingRequest { id, session } = request.into_inner();
        let session_ended = session.is_some_and(|session| known.ended.contains(&session));
        let standing = known.standings.get(&id).cloned();
        let standing = standing.map(|standing| Standing { session_ended, ..standing });
        standing.map(Response::new).ok_or_else(|| Status::not_found("there is no such account"))
    }

    async fn list_blocked(
        &self,
        _: Request<ListBlockedRequest>,
    ) -> Result<Response<ListBlockedResponse>, Status> {
        let mut known = self.known();
        known.listed += 1;
        known.present()?;
        let blocked = known.standings.iter().filter(|(_, standing)| standing.blocked);
        let ids = blocked.map(|(id, _)| id.clone()).collect();
        Ok(Response::new(ListBlockedResponse { ids }))
    }
}

async fn shop() -> (Running, Accounts) {
    let accounts = Accounts::default();
    (shop_of(&accounts).await, accounts)
}

async fn shop_of(accounts: &Accounts) -> Running {
    let user = serve_grpc(Routes::new(UsersServer::new(accounts.clone()))).await;
    let catalog = echo("catalog").await;
    let live = ("NOTIFICATION_HTTP_URL", echo("notification").await);
    let variables = [("USER_GRPC_URL", user), ("CATALOG_HTTP_URL", catalog), live];
    gateway(&variables).await
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
async fn staff_whose_session_has_ended_changes_nothing_more() {
    let (gateway, accounts) = shop().await;
    let (staff, session) = (UserId::new(), Uuid::now_v7());
    accounts.set(staff, &["seller", "admin"], false);
    let send = async |role, sid, method: &str| {
        let token = gateway.signer.sign(&Claims { sid, ..Signer::claims(staff, &[role]) });
        let request = gateway.request(method, "/api/v1/categories/mugs").bearer_auth(token);
        request.send().await.unwrap()
    };
    for role in [Role::Seller, Role::Admin] {
        for method in UNSAFE {
            accounts.known().ended.clear();
            assert_eq!(send(role, Some(session), method).await.status(), 200, "{method}");
            accounts.known().ended.insert(session.to_string());
            let refused = send(role, Some(session), method).await;
            assert_eq!(refused.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
            assert_eq!(problem(refused).await, (401, "unauthenticated".to_owned()), "{method}");
            let other = send(role, Some(Uuid::now_v7()), method).await;
            assert_eq!(other.status(), 200, "{method}: another session");
            let older = send(role, None, method).await;
            assert_eq!(older.status(), 200, "{method}: a token of the release before");
        }
        assert_eq!(
            send(role, Some(session), "GET").await.status(),
            200,
            "reading goes by the token"
        );
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
    assert_eq!(accounts.known().asked, 0);
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

/// Waits until a customer is answered like this, whatever they do.
async fn answered(gateway: &Running, user: UserId, status: u16) {
    for method in ["GET"].into_iter().chain(UNSAFE) {
        eventually(&format!("{method} is answered with {status}"), async || {
            let answer = send(gateway, user, &[Role::Customer], method).await;
            (answer.status() == status).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_customer_who_is_blocked_is_refused_soon_and_let_in_again() {
    let (gateway, accounts) = shop().await;
    let (blocked, other) = (UserId::new(), UserId::new());
    accounts.set(blocked, &["customer"], false);
    answered(&gateway, blocked, 200).await;
    accounts.set(blocked, &["customer"], true);
    answered(&gateway, blocked, 401).await;
    let refused = send(&gateway, blocked, &[Role::Customer], "POST").await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    assert_eq!(problem(refused).await, (401, "unauthenticated".to_owned()));
    assert_eq!(send(&gateway, other, &[Role::Customer], "POST").await.status(), 200);
    accounts.set(blocked, &["customer"], false);
    answered(&gateway, blocked, 200).await;
    assert_eq!(accounts.known().asked, 0, "no request of a customer costs a call");
}

/// Browsers send the token as a protocol.
#[tokio::test]
async fn a_customer_who_is_blocked_opens_no_socket() {
    let accounts = Accounts::default();
    let (blocked, other) = (UserId::new(), UserId::new());
    accounts.set(blocked, &["customer"], true);
    let gateway = shop_of(&accounts).await;
    let open = async |token: &str| {
        let request = gateway.request("GET", "/api/v1/live");
        let offered = format!("shop.live.v1, bearer.{token}");
        request.header("Sec-WebSocket-Protocol", offered).send().await.unwrap()
    };
    let token = |user| gateway.signer.token(user, &[Role::Customer]);
    for bad in [&*token(blocked), "nonsense"] {
        let refused = open(bad).await;
        assert_eq!(refused.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
        assert_eq!(problem(refused).await, (401, "unauthenticated".to_owned()), "{bad}");
    }
    let let_in = open(&token(other)).await;
    assert_eq!(let_in.status(), 200);
    // Counted by the account, not with the guests.
    let policy = let_in.headers()["ratelimit-policy"].to_str().unwrap();
    assert!(policy.starts_with("\"client\";"), "{policy}");
    let guest = gateway.request("GET", "/api/v1/live").send().await.unwrap();
    assert_eq!(guest.status(), 200, "who sends no token is refused by the service");
}

#[tokio::test]
async fn a_customer_stays_blocked_while_the_user_service_is_away() {
    let accounts = Accounts::default();
    let blocked = UserId::new();
    accounts.set(blocked, &["customer"], true);
    let gateway = shop_of(&accounts).await;
    // Listed before the first request.
    assert_eq!(send(&gateway, blocked, &[Role::Customer], "POST").await.status(), 401);
    let polls = {
        let mut known = accounts.known();
        known.away = true;
        known.listed
    };
    eventually("it is asked in vain", async || (accounts.known().listed > polls + 2).then_some(()))
        .await;
    assert_eq!(send(&gateway, blocked, &[Role::Customer], "POST").await.status(), 401);
    assert_eq!(send(&gateway, UserId::new(), &[Role::Customer], "POST").await.status(), 200);
}
