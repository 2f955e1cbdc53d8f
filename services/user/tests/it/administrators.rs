//! Administrators who lose their power, and that the last one keeps it.

use contracts::UserId;
use contracts::proto::user::users_client::UsersClient;
use contracts::proto::user::{GetStandingRequest, ListBlockedRequest};
use kit::auth::Role;
use kit::grpc::Peer;
use kit::testing::{Running, waiting};
use serde_json::{Value, json};
use tonic::Code;

use crate::{PASSWORD, account, administrator, answer, register, start};

/// Takes the role from an account, or blocks it, by an administrator's token that was good a moment ago.
async fn put(service: &Running, by: UserId, user: UserId, what: &str, body: &Value) -> u16 {
    let path = format!("/api/v1/users/{user}/{what}");
    let request = service.request_as(by, &[Role::Customer, Role::Admin], "PUT", &path);
    let request = request.header("If-Match", "\"1\"").json(body);
    answer(request.send().await.unwrap()).await.0
}

/// The ways to end the power of an administrator, and what their token is answered with afterwards.
fn ends() -> [(&'static str, Value, u16); 2] {
    [("roles", json!({ "roles": ["customer"] }), 403), ("blocked", json!({ "blocked": true }), 401)]
}

async fn active_administrators(service: &Running) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM accounts WHERE 'admin' = ANY(roles) AND blocked_at IS NULL",
    )
    .fetch_one(service.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_token_of_a_former_administrator_changes_nothing() {
    for (what, body, refused) in ends() {
        let service = start().await;
        let (first, former) = (administrator(&service).await, administrator(&service).await);
        let friend = account(&service, &[Role::Customer]).await;
        assert_eq!(put(&service, first, former, what, &body).await, 200);
        let promotion = json!({ "roles": ["admin"] });
        for (user, what, body) in [
            (friend, "roles", &promotion),
            (former, "roles", &promotion),
            (former, "blocked", &json!({ "blocked": false })),
            (first, "roles", &json!({ "roles": ["customer"] })),
            (first, "blocked", &json!({ "blocked": true })),
        ] {
            assert_eq!(put(&service, former, user, what, body).await, refused, "{what}: {body}");
        }
        assert_eq!(active_administrators(&service).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_administrators_who_end_each_other_leave_one() {
    for (what, body, refused) in ends() {
        let service = start().await;
        let (one, other) = (administrator(&service).await, administrator(&service).await);
        // Both requests are under way before either can have had its effect.
        let mut gate = service.pool().begin().await.unwrap();
        sqlx::query("SELECT FROM accounts FOR UPDATE").execute(&mut *gate).await.unwrap();
        let open = async {
            waiting(service.pool(), 2).await;
            gate.commit().await.unwrap();
        };
        let (first, second, ()) = tokio::join!(
            put(&service, one, other, what, &body),
            put(&service, other, one, what, &body),
            open,
        );
        let mut statuses = [first, second];
        statuses.sort_unstable();
        assert_eq!(
            (statuses, active_administrators(&service).await),
            ([200, refused], 1),
            "{what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_owner_changes_nothing_with_an_old_token() {
    let service = start().await;
    let registered = register(&service, "ada@example.com").await;
    let user: UserId = registered["id"].as_str().unwrap().parse().unwrap();
    let admin = administrator(&service).await;
    assert_eq!(put(&service, admin, user, "blocked", &json!({ "blocked": true })).await, 200);
    let address = json!({ "recipient": "A", "line1": "1", "city": "London", "country": "GB" });
    let passwords =
        json!({ "current_password": PASSWORD, "new_password": "another long password" });
    for (method, path, body) in [
        ("PATCH", "/api/v1/me", json!({ "name": "Eve" })),
        ("PUT", "/api/v1/me/password", passwords),
        ("POST", "/api/v1/me/addresses", address),
        ("POST", "/api/v1/me/verification", Value::Null),
    ] {
        let request = service.request_as(user, &[], method, path).header("If-Match", "\"2\"");
        assert_eq!(request.json(&body).send().await.unwrap().status(), 401, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn standing_is_what_the_database_says_now() {
    let service = start().await;
    let user = account(&service, &[Role::Customer, Role::Seller]).await;
    let peer: Peer = format!("http://{}", service.bound.grpc).parse().unwrap();
    let mut client = UsersClient::new(peer.client());
    let mut standing =
        async |id: String| client.get_standing(GetStandingRequest { id, session: None }).await;
    let found = standing(user.to_string()).await.unwrap().into_inner();
    assert_eq!(
        (found.roles, found.blocked),
        (vec!["customer".to_owned(), "seller".to_owned()], false)
    );
    // Behind the back of the service and of its cache.
    sqlx::query("UPDATE accounts SET roles = '{customer}', blocked_at = now()")
        .execute(service.pool())
        .await
        .unwrap();
    let found = standing(user.to_string()).await.unwrap().into_inner();
    assert_eq!((found.roles, found.blocked), (vec!["customer".to_owned()], true));
    for unknown in [UserId::new().to_string(), "nonsense".to_owned()] {
        assert_eq!(standing(unknown).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_listed_as_blocked_while_their_tokens_live() {
    let service = start().await;
    let admin = account(&service, &[Role::Admin]).await;
    let user = account(&service, &[Role::Customer]).await;
    account(&service, &[Role::Customer]).await;
    let peer: Peer = format!("http://{}", service.bound.grpc).parse().unwrap();
    let mut client = UsersClient::new(peer.client());
    let mut blocked = async || {
        let listed = client.list_blocked(ListBlockedRequest {}).await;
        listed.unwrap().into_inner().ids
    };
    assert_eq!(blocked().await, Vec::<String>::new());
    assert_eq!(put(&service, admin, user, "blocked", &json!({ "blocked": true })).await, 200);
    assert_eq!(blocked().await, [user.to_string()]);
    // For a little longer than the token that was signed a moment before.
    for (minutes, listed) in [(6, true), (11, false)] {
        sqlx::query(
            "UPDATE accounts SET blocked_at = now() - make_interval(mins => $1) WHERE id = $2",
        )
        .bind(minutes)
        .bind(user.uuid())
        .execute(service.pool())
        .await
        .unwrap();
        assert_eq!(blocked().await.contains(&user.to_string()), listed, "{minutes} minutes");
    }
    sqlx::query("UPDATE accounts SET blocked_at = now(), version = 1 WHERE id = $1")
        .bind(user.uuid())
        .execute(service.pool())
        .await
        .unwrap();
    assert_eq!(put(&service, admin, user, "blocked", &json!({ "blocked": false })).await, 200);
    assert_eq!(blocked().await, Vec::<String>::new());
}
