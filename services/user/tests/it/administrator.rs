//! The first administrator.

use contracts::env;
use contracts::events::UserRegistered;
use kit::testing::Running;
use serde_json::json;
use user::User;
use uuid::Uuid;

use crate::{PASSWORD, answer, login, me, refresh, register};

const ROOT: &str = "root@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_is_there_when_the_service_is_ready() {
    let service = Running::start::<User>(&[
        (env::ADMIN_EMAIL, "Root@Example.com"),
        (env::ADMIN_PASSWORD, PASSWORD),
    ])
    .await;
    let (status, tokens) = login(&service, "root@example.com", PASSWORD).await;
    assert_eq!(status, 200, "{tokens}");
    let token = tokens["access_token"].as_str().unwrap();
    let (_, account) = me(&service, token).await;
    assert_eq!(account["roles"], json!(["customer", "admin"]));
    let request = service.request("GET", "/api/v1/users").bearer_auth(token);
    let (status, page) = answer(request.send().await.unwrap()).await;
    assert_eq!((status, page["items"].as_array().unwrap().len()), (200, 1));
    // Whoever orders must be known to those who write mails.
    let id: Uuid = account["id"].as_str().unwrap().parse().unwrap();
    let event: UserRegistered = service.published(id).await;
    assert_eq!(event.email, "root@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_given_anew_holds() {
    let variables = [(env::ADMIN_EMAIL, ROOT), (env::ADMIN_PASSWORD, "as the operator says")];
    let mut service = Running::start::<User>(&variables).await;
    // The administrator chooses another one, which outlives a restart.
    register(&service, "other@example.com").await;
    let choose = "UPDATE accounts SET password_hash = other.password_hash FROM accounts other
                  WHERE accounts.email = $1 AND other.email = 'other@example.com'";
    sqlx::query(choose).bind(ROOT).execute(service.pool()).await.unwrap();
    service.restart::<User>(&[]).await;
    let (status, tokens) = login(&service, ROOT, PASSWORD).await;
    assert_eq!(status, 200, "{tokens}");

    // The way back for an administrator without a mailbox, whatever others have tried, without a gateway, from a network behind a
    // proxy that it does not trust, and from anywhere else.
    let networks = [None, Some("10.244.1.5"), Some("203.0.113.7"), Some("2001:db8::1")];
    for network in networks {
        while attempt(&service, network, "wrong password").await != 429 {}
    }
    service.restart::<User>(&[(env::ADMIN_PASSWORD, "as it says from now on")]).await;
    for network in networks {
        assert_eq!(attempt(&service, network, PASSWORD).await, 401, "{network:?}");
        assert_eq!(attempt(&service, network, "as it says from now on").await, 200, "{network:?}");
    }
    assert_eq!(refresh(&service, &tokens["refresh_token"]).await.0, 401, "its session has ended");
}

/// Logs in as the first administrator, from this network as the gateway says.
async fn attempt(service: &Running, network: Option<&str>, password: &str) -> u16 {
    let body = json!({ "email": ROOT, "password": password });
    let mut request = service.request("POST", "/api/v1/auth/login").json(&body);
    if let Some(network) = network {
        request = request.header("X-Forwarded-For", network);
    }
    request.send().await.unwrap().status().as_u16()
}
