//! The user service against real engines.
#![expect(clippy::unwrap_used, reason = "a test")]

mod accounts;
mod administrator;
mod administrators;
mod belongings;
mod cache;
mod email_links;
mod ended_sessions;
mod favourites;
mod letters;
mod passwords;
mod purge;
mod registration;
mod sessions;
mod strangers;
mod throttle;
mod tokens;

use contracts::UserId;
use kit::auth::Role;
use kit::testing::{Running, check_openapi};
use reqwest::Response;
use serde_json::{Value, json};
use user::User;
use user::account::Name;
use user::db::{self, NewAccount};

/// A password that may be chosen.
const PASSWORD: &str = "correct horse battery";

#[test]
fn openapi() {
    check_openapi::<User>(env!("CARGO_MANIFEST_DIR"));
}

async fn start() -> Running {
    Running::start::<User>(&[]).await
}

async fn post(service: &Running, path: &str, body: &Value) -> Response {
    service.request("POST", path).json(body).send().await.unwrap()
}

/// Status and body; a body that is not JSON is null.
async fn answer(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

/// Opens an account and returns it.
async fn register(service: &Running, email: &str) -> Value {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ada" });
    let (status, account) = answer(post(service, "/api/v1/auth/register", &body).await).await;
    assert_eq!(status, 201, "{account}");
    account
}

/// Opens an account with these roles, without a password.
async fn account(service: &Running, roles: &[Role]) -> UserId {
    let id = UserId::new();
    let email = format!("{id}@example.com").parse().unwrap();
    let (name, mut connection) = (Name::default(), service.pool().acquire().await.unwrap());
    let new = NewAccount { id, email: &email, name: &name, password_hash: None, roles };
    db::insert(&mut connection, &new).await.unwrap().id
}

async fn administrator(service: &Running) -> UserId {
    account(service, &[Role::Customer, Role::Admin]).await
}

async fn login(service: &Running, email: &str, password: &str) -> (u16, Value) {
    let body = json!({ "email": email, "password": password });
    answer(post(service, "/api/v1/auth/login", &body).await).await
}

async fn refresh(service: &Running, token: &Value) -> (u16, Value) {
    let body = json!({ "refresh_token": token });
    answer(post(service, "/api/v1/auth/refresh", &body).await).await
}

/// What `/me` says to whoever has this access token.
async fn me(service: &Running, access_token: &str) -> (u16, Value) {
    let request = service.request("GET", "/api/v1/me").bearer_auth(access_token);
    answer(request.send().await.unwrap()).await
}
