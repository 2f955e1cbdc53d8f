//! Accounts, for their owners, for administrators and for other services.

use contracts::proto::user::GetUserRequest;
use contracts::proto::user::users_client::UsersClient;
use contracts::{UserId, demo};
use kit::auth::Role;
use kit::grpc::Peer;
use kit::testing::Running;
use serde_json::{Value, json};
use tonic::Code;
use user::User;

use crate::{PASSWORD, administrator, answer, login, me, refresh, register, start};

fn id(account: &Value) -> UserId {
    account["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_changes_the_name_that_they_have_seen() {
    let service = start().await;
    let user = id(&register(&service, "ada@example.com").await);
    let rename = async |version: Option<&str>, name: &str| {
        let mut request = service.request_as(user, &[], "PATCH", "/api/v1/me");
        if let Some(version) = version {
            request = request.header("If-Match", version);
        }
        answer(request.json(&json!({ "name": name })).send().await.unwrap()).await
    };
    let read = service.request_as(user, &[], "GET", "/api/v1/me").send().await.unwrap();
    let etag = read.headers()["etag"].to_str().unwrap().to_owned();
    let (status, account) = rename(Some(&etag), " Ada L. ").await;
    assert_eq!((status, &account["name"]), (200, &json!("Ada L.")), "{account}");
    assert_eq!(rename(Some(&etag), "Eve").await.0, 412);
    assert_eq!(rename(None, "Eve").await.0, 428);
    assert_eq!(rename(Some("\"2\""), "").await.0, 422);
    let (_, account) = me(&service, &service.signer.token(user, &[])).await;
    assert_eq!(account["name"], "Ada L.");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_see_all_accounts() {
    let service = start().await;
    let mut registered = Vec::new();
    for email in ["a@example.com", "b@example.com", "c@example.com"] {
        registered.push(register(&service, email).await);
    }
    for roles in [&[Role::Customer][..], &[Role::Seller]] {
        let request = service.request_as(UserId::new(), roles, "GET", "/api/v1/users");
        assert_eq!(request.send().await.unwrap().status(), 403);
    }
    assert_eq!(service.request("GET", "/api/v1/users").send().await.unwrap().status(), 401);

    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/users?limit=2{cursor}");
        let request = service.request_as(UserId::new(), &[Role::Admin], "GET", &path);
        let (status, page) = answer(request.send().await.unwrap()).await;
        assert_eq!(status, 200, "{page}");
        found.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    registered.reverse();
    assert_eq!(found, registered, "each once, the newest first");
}

async fn set_roles(
    service: &Running,
    by: (UserId, &[Role]),
    user: UserId,
    version: &str,
    roles: &Value,
) -> (u16, Value) {
    let path = format!("/api/v1/users/{user}/roles");
    let request = service.request_as(by.0, by.1, "PUT", &path).header("If-Match", version);
    answer(request.json(&json!({ "roles": roles })).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_give_roles() {
    let service = start().await;
    let user = id(&register(&service, "ada@example.com").await);
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;
    let seller = json!(["seller", "customer", "seller"]);
    for roles in [&[Role::Customer][..], &[Role::Seller]] {
        assert_eq!(set_roles(&service, (user, roles), user, "1", &seller).await.0, 403);
    }
    let admin = (administrator(&service).await, &[Role::Admin][..]);
    let (status, account) = set_roles(&service, admin, user, "1", &seller).await;
    assert_eq!((status, &account["roles"]), (200, &json!(["customer", "seller"])), "{account}");
    let (_, fresh) = refresh(&service, &tokens["refresh_token"]).await;
    let request = service.request("GET", "/api/v1/users");
    let request = request.bearer_auth(fresh["access_token"].as_str().unwrap());
    assert_eq!(request.send().await.unwrap().status(), 403, "a seller is no administrator");

    assert_eq!(set_roles(&service, admin, user, "1", &json!(["admin"])).await.0, 412);
    assert_eq!(set_roles(&service, admin, user, "2", &json!([])).await.0, 422);
    assert_eq!(set_roles(&service, admin, user, "2", &json!(["root"])).await.0, 422);
    assert_eq!(set_roles(&service, admin, UserId::new(), "1", &json!(["admin"])).await.0, 404);
    let alone = set_roles(&service, admin, admin.0, "1", &json!(["customer"])).await;
    assert_eq!(alone.0, 409, "the last administrator stays one: {}", alone.1);

    assert_eq!(set_roles(&service, admin, user, "2", &json!(["admin"])).await.0, 200);
    let (_, fresh) = refresh(&service, &fresh["refresh_token"]).await;
    let request = service.request("GET", "/api/v1/users");
    let request = request.bearer_auth(fresh["access_token"].as_str().unwrap());
    assert_eq!(request.send().await.unwrap().status(), 200, "the next token has the role");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_account_is_kept_out() {
    let service = start().await;
    let user = id(&register(&service, "ada@example.com").await);
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;
    let admin = administrator(&service).await;
    let own = format!("/api/v1/users/{admin}/blocked");
    let themself = service.request_as(admin, &[Role::Admin], "PUT", &own).header("If-Match", "1");
    let answered = themself.json(&json!({ "blocked": true })).send().await.unwrap();
    assert_eq!(answered.status(), 409, "the last administrator is not blocked");
    let block = async |by: UserId, roles: &[Role], version: &str, blocked: bool| {
        let path = format!("/api/v1/users/{user}/blocked");
        let request = service.request_as(by, roles, "PUT", &path).header("If-Match", version);
        answer(request.json(&json!({ "blocked": blocked })).send().await.unwrap()).await
    };
    assert_eq!(block(admin, &[Role::Seller], "1", true).await.0, 403);
    let (status, account) = block(admin, &[Role::Admin], "1", true).await;
    assert_eq!((status, &account["blocked"]), (200, &json!(true)), "{account}");
    assert_eq!(refresh(&service, &tokens["refresh_token"]).await.0, 401);
    let (status, problem) = login(&service, "ada@example.com", PASSWORD).await;
    assert_eq!((status, &problem["type"]), (403, &json!("/problems/account-blocked")));
    let (status, _) = login(&service, "ada@example.com", "wrong password").await;
    assert_eq!(status, 401, "only the owner learns of it");
    assert_eq!(block(admin, &[Role::Admin], "1", false).await.0, 412);
    assert_eq!(block(admin, &[Role::Admin], "2", false).await.1["blocked"], json!(false));
    assert_eq!(login(&service, "ada@example.com", PASSWORD).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_services_ask_for_names() {
    let service = start().await;
    let user = id(&register(&service, "ada@example.com").await);
    let peer: Peer = format!("http://{}", service.bound.grpc).parse().unwrap();
    let mut client = UsersClient::new(peer.client());
    let mut get = async |id: String| client.get_user(GetUserRequest { id }).await;
    let found = get(user.to_string()).await.unwrap().into_inner();
    assert_eq!((found.id, found.name.as_str()), (user.to_string(), "Ada"));
    for unknown in [UserId::new().to_string(), "nonsense".to_owned()] {
        assert_eq!(get(unknown).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_seller_has_a_name_and_no_password() {
    let service = start().await;
    for time in ["first", "second"] {
        let seeded = service.seed::<User>().await;
        assert!(seeded.is_ok(), "{time} time: {seeded:?}");
    }
    let token = service.signer.token(demo::seller_id(), &[Role::Seller]);
    let (status, account) = me(&service, &token).await;
    assert_eq!((status, &account["name"]), (200, &json!("Demo Goods")), "{account}");
    let email = account["email"].as_str().unwrap();
    for password in ["nobody's password", "Demo Goods"] {
        assert_eq!(login(&service, email, password).await.0, 401);
    }
}
