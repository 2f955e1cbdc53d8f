//! Access tokens of sessions that have ended: they change nothing of the account, though they live for minutes.

use contracts::events::EmailVerificationRequested;
use contracts::proto::user::GetStandingRequest;
use contracts::proto::user::users_client::UsersClient;
use contracts::{ProductId, UserId};
use kit::auth::Role;
use kit::grpc::Peer;
use kit::testing::{Running, waiting};
use reqwest::Method;
use serde_json::{Value, json};

use crate::letters::{ADA, OTHER, owner, reset, reset_letter, verify};
use crate::strangers::login_in_browser;
use crate::{PASSWORD, administrator, login, me, post, register, start};

async fn send(service: &Running, token: &str, method: Method, path: &str, body: &Value) -> u16 {
    let request = service.request(method.as_str(), path).bearer_auth(token);
    let request = request.header("If-Match", "\"1\"").json(body);
    request.send().await.unwrap().status().as_u16()
}

fn place() -> Value {
    json!({ "recipient": "A", "line1": "1", "city": "London", "country": "GB" })
}

async fn add_address(service: &Running, token: &str) -> u16 {
    send(service, token, Method::POST, "/api/v1/me/addresses", &place()).await
}

fn access(tokens: &Value) -> String {
    tokens["access_token"].as_str().unwrap().to_owned()
}

/// Ways to end the sessions of an account whose password is [`PASSWORD`].
#[derive(Clone, Copy, Debug)]
enum End {
    Verification,
    Reset,
    Change,
    Block,
    LogoutEverywhere,
}

impl End {
    /// Ends them. The password afterwards.
    async fn come(self, service: &Running, user: UserId) -> &'static str {
        match self {
            Self::Verification => {
                let link = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
                assert_eq!(verify(service, &link).await.0, 204);
            }
            Self::Reset => {
                let link = reset_letter(service, user).await;
                assert_eq!(reset(service, &link, OTHER).await.0, 204);
                return OTHER;
            }
            Self::Change => {
                let body = json!({ "current_password": PASSWORD, "new_password": OTHER });
                let request = service.request_as(user, &[], "PUT", "/api/v1/me/password");
                assert_eq!(request.json(&body).send().await.unwrap().status(), 204);
                return OTHER;
            }
            Self::Block => {
                let admin = administrator(service).await;
                let path = format!("/api/v1/users/{user}/blocked");
                for (version, blocked) in [("\"1\"", true), ("\"2\"", false)] {
                    let request = service.request_as(admin, &[Role::Admin], "PUT", &path);
                    let request = request.header("If-Match", version);
                    let answer = request.json(&json!({ "blocked": blocked })).send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                }
            }
            Self::LogoutEverywhere => {
                let path = "/api/v1/auth/logout-everywhere";
                let request = service.request_as(user, &[], "POST", path);
                assert_eq!(request.send().await.unwrap().status(), 204);
            }
        }
        PASSWORD
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_ended_session_changes_nothing() {
    for end in [End::Verification, End::Reset, End::Change, End::Block, End::LogoutEverywhere] {
        let service = start().await;
        let user = owner(&service).await;
        let old = access(&login(&service, ADA, PASSWORD).await.1);
        let password = end.come(&service, user).await;

        let (address, product) = (uuid::Uuid::now_v7(), ProductId::new());
        let passwords = json!({ "current_password": password, "new_password": "yet another one" });
        let guess = json!({ "current_password": "not the one", "new_password": "yet another one" });
        for (method, path, body) in [
            (Method::PATCH, "/api/v1/me".to_owned(), json!({ "name": "Eve" })),
            (Method::PUT, "/api/v1/me/password".to_owned(), passwords),
            // Refused before it is looked at.
            (Method::PUT, "/api/v1/me/password".to_owned(), guess),
            (Method::POST, "/api/v1/me/verification".to_owned(), json!({})),
            (Method::POST, "/api/v1/auth/logout-everywhere".to_owned(), json!({})),
            (Method::POST, "/api/v1/me/addresses".to_owned(), place()),
            (Method::PUT, format!("/api/v1/me/addresses/{address}"), place()),
            (Method::DELETE, format!("/api/v1/me/addresses/{address}"), json!({})),
            (Method::PUT, format!("/api/v1/me/favourites/{product}"), json!({})),
            (Method::DELETE, format!("/api/v1/me/favourites/{product}"), json!({})),
        ] {
            let status = send(&service, &old, method.clone(), &path, &body).await;
            assert_eq!(status, 401, "{end:?}: {method} {path}");
        }
        assert_eq!(me(&service, &old).await.0, 200, "{end:?}: it reads");
        // At once, although both tokens may end in the same second.
        let (status, tokens) = login(&service, ADA, password).await;
        assert_eq!(status, 200, "{end:?}: {tokens}");
        assert_eq!(add_address(&service, &access(&tokens)).await, 201, "{end:?}: a new session");
    }
}

/// For the gateway, which asks for staff.
#[tokio::test(flavor = "multi_thread")]
async fn standing_says_that_a_session_has_ended() {
    let service = start().await;
    let user = owner(&service).await;
    let (_, tokens) = login(&service, ADA, PASSWORD).await;
    let session: uuid::Uuid =
        sqlx::query_scalar("SELECT id FROM sessions").fetch_one(service.pool()).await.unwrap();
    let peer: Peer = format!("http://{}", service.bound.grpc).parse().unwrap();
    let mut client = UsersClient::new(peer.client());
    let mut ended = async |session: Option<&str>| {
        let session = session.map(str::to_owned);
        let request = GetStandingRequest { id: user.to_string(), session };
        client.get_standing(request).await.unwrap().into_inner().session_ended
    };
    let session = session.to_string();
    assert!(!ended(Some(&session)).await);
    let logout = json!({ "refresh_token": tokens["refresh_token"] });
    assert_eq!(post(&service, "/api/v1/auth/logout", &logout).await.status(), 204);
    assert!(ended(Some(&session)).await);
    assert!(ended(Some("nonsense")).await);
    assert!(!ended(None).await, "a gateway of the release before does not say which");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_that_verifies_goes_on_with_its_token() {
    let service = start().await;
    let user = owner(&service).await;
    let ((here, cookie), (elsewhere, _)) =
        (login_in_browser(&service).await, login_in_browser(&service).await);
    let link = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
    let request = service.request("POST", "/api/v1/auth/verify-email").header("Cookie", cookie);
    let request = request.json(&json!({ "token": link.expose() }));
    assert_eq!(request.send().await.unwrap().status(), 204);
    assert_eq!(add_address(&service, &access(&here)).await, 201);
    assert_eq!(add_address(&service, &access(&elsewhere)).await, 401);
}

/// The session ends while the change waits for the account.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_waits_for_the_end_of_its_session_is_refused() {
    let service = start().await;
    owner(&service).await;
    let token = access(&login(&service, ADA, PASSWORD).await.1);
    let mut end = service.pool().begin().await.unwrap();
    for statement in ["SELECT FROM accounts FOR UPDATE", "UPDATE sessions SET revoked_at = now()"] {
        sqlx::query(statement).execute(&mut *end).await.unwrap();
    }
    let ended = async {
        waiting(service.pool(), 1).await;
        end.commit().await.unwrap();
    };
    let (status, ()) = tokio::join!(add_address(&service, &token), ended);
    assert_eq!(status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrators_token_ends_with_its_session() {
    let service = start().await;
    let user = owner(&service).await;
    let other: UserId =
        register(&service, "bob@example.com").await["id"].as_str().unwrap().parse().unwrap();
    sqlx::query("UPDATE accounts SET roles = '{admin}' WHERE id = $1")
        .bind(user.uuid())
        .execute(service.pool())
        .await
        .unwrap();
    let old = access(&login(&service, ADA, PASSWORD).await.1);
    let password = End::Change.come(&service, user).await;
    let path = format!("/api/v1/users/{other}/roles");
    let body = json!({ "roles": ["admin"] });
    assert_eq!(send(&service, &old, Method::PUT, &path, &body).await, 401);
    let new = access(&login(&service, ADA, password).await.1);
    assert_eq!(send(&service, &new, Method::PUT, &path, &body).await, 200);
}
