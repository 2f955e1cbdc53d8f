//! The cache of accounts: fast, forgetful, and never wrong for long.

use std::sync::Arc;

use contracts::proto::user::GetUserRequest;
use contracts::proto::user::users_client::UsersClient;
use contracts::{UserId, env};
use kit::auth::Role;
use kit::grpc::Peer;
use kit::redis::{Redis, Settings};
use kit::secret::Secret;
use kit::testing::{PartOfRedis, Running, engine, eventually, waiting};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use user::User;
use user::account::Account;
use user::cache::Cache;
use user::db;

use crate::{PASSWORD, administrator, answer, register, start};

fn redis(url: &str) -> Redis {
    Settings { url: Secret::new(url), key_prefix: String::new() }.connect().unwrap()
}

fn real() -> Redis {
    redis(&engine("TEST_REDIS_URL"))
}

/// Where nobody listens.
async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("redis://{}", listener.local_addr().unwrap())
}

async fn seconds_left(id: UserId) -> i64 {
    let key = format!("user_profile:{id}");
    redis::cmd("TTL").arg(key).query_async(&mut real().connection()).await.unwrap()
}

async fn opened(service: &Running) -> UserId {
    register(service, "ada@example.com").await["id"].as_str().unwrap().parse().unwrap()
}

/// Somebody's own account.
async fn me(service: &Running, user: UserId) -> Value {
    let request = service.request_as(user, &[], "GET", "/api/v1/me");
    let (status, account) = answer(request.send().await.unwrap()).await;
    assert_eq!(status, 200, "{account}");
    account
}

/// Shows an account until it is held: on a busy machine Redis may take longer to answer than the service waits.
async fn held(service: &Running, user: UserId) -> i64 {
    eventually("the account is held", async || {
        me(service, user).await;
        Some(seconds_left(user).await).filter(|left| *left > 0)
    })
    .await
}

/// Changes an account that has this version.
async fn change(
    service: &Running,
    (method, path): (Method, &str),
    by: (UserId, Role),
    version: &Value,
    body: Value,
) -> Value {
    let request = service.request_as(by.0, &[by.1], method.as_str(), path);
    let request = request.header("If-Match", format!("\"{version}\"")).json(&body);
    let (status, account) = answer(request.send().await.unwrap()).await;
    assert_eq!(status, 200, "{account}");
    account
}

async fn rename(service: &Running, user: UserId, name: &str) -> Value {
    let version = me(service, user).await["version"].clone();
    let at = (Method::PATCH, "/api/v1/me");
    change(service, at, (user, Role::Customer), &version, json!({ "name": name })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_held_for_five_minutes_for_its_owner_and_for_other_services() {
    let service = start().await;
    let user = opened(&service).await;
    let left = held(&service, user).await;
    assert!((290..=300).contains(&left), "{left} seconds");
    // Behind the back of the service: only the cache can still know the old name.
    sqlx::query("UPDATE accounts SET name = 'Hidden'").execute(service.pool()).await.unwrap();
    let peer: Peer = format!("http://{}", service.bound.grpc).parse().unwrap();
    eventually("the cache answers both", async || {
        let request = GetUserRequest { id: user.to_string() };
        let found = UsersClient::new(peer.client()).get_user(request).await.unwrap();
        let both = (me(&service, user).await["name"].clone(), found.into_inner().name);
        (both == (json!("Ada"), "Ada".to_owned())).then_some(())
    })
    .await;
    let figures = service.metrics().await;
    for outcome in ["hit", "miss"] {
        let figure =
            format!("cache_requests_total{{cache=\"user_profile\",outcome=\"{outcome}\"}}");
        assert!(figures.contains(&figure), "{figure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_an_account_lets_it_go() {
    let service = start().await;
    let user = opened(&service).await;
    let admin = (administrator(&service).await, Role::Admin);
    let letting_go = async |what: &str| {
        assert_eq!(seconds_left(user).await, -2, "{what}: the writer has deleted it");
    };
    held(&service, user).await;
    let renamed = rename(&service, user, "Lovelace").await;
    letting_go("name").await;
    assert_eq!(me(&service, user).await, renamed);

    held(&service, user).await;
    let path = format!("/api/v1/users/{user}/roles");
    let body = json!({ "roles": ["seller"] });
    let promoted = change(&service, (Method::PUT, &path), admin, &renamed["version"], body).await;
    letting_go("roles").await;
    assert_eq!(me(&service, user).await, promoted);

    held(&service, user).await;
    let body = json!({ "current_password": PASSWORD, "new_password": "another one for Ada" });
    let request = service.request_as(user, &[], "PUT", "/api/v1/me/password").json(&body);
    assert_eq!(request.send().await.unwrap().status(), 204);
    letting_go("password").await;
    let version = json!(promoted["version"].as_i64().unwrap() + 1);
    assert_eq!(me(&service, user).await["version"], version);

    held(&service, user).await;
    let path = format!("/api/v1/users/{user}/blocked");
    let body = json!({ "blocked": true });
    let blocked = change(&service, (Method::PUT, &path), admin, &version, body).await;
    letting_go("block").await;
    assert_eq!(me(&service, user).await, blocked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_answered_lets_the_account_go() {
    let service = start().await;
    let user = opened(&service).await;
    held(&service, user).await;
    let letter: contracts::events::EmailVerificationRequested =
        service.published(user.uuid()).await;
    let body = json!({ "token": letter.token });
    let request = service.request("POST", "/api/v1/auth/verify-email").json(&body);
    assert_eq!(request.send().await.unwrap().status(), 204);
    assert_eq!(seconds_left(user).await, -2);
    assert_eq!(me(&service, user).await["email_verified"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_cannot_put_an_old_account_back() {
    let service = start().await;
    let user = opened(&service).await;
    let read = async || -> Account {
        let mut connection = service.pool().acquire().await.unwrap();
        db::account(&mut connection, user).await.unwrap().unwrap()
    };
    let old = read().await;
    rename(&service, user, "Lovelace").await;
    let (new, cache) = (read().await, Cache::new(real()));
    cache.put(&old).await;
    assert_eq!(cache.get(user).await, None, "the old account is back");
    eventually("the new one is held", async || {
        cache.put(&new).await;
        cache.get(user).await.map(|held| assert_eq!(held, new))
    })
    .await;
    cache.put(&old).await;
    eventually("the cache answers", async || {
        cache.get(user).await.map(|held| assert_eq!(held, new))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_at_the_same_time_shares_one_read() {
    let service = start().await;
    let user = opened(&service).await;
    let cache = Cache::new(redis(&closed_port().await));
    let find = async || cache.find(service.pool(), user).await.unwrap().unwrap();
    // Otherwise the first could have its answer before the other asks.
    let mut gate = service.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE accounts").execute(&mut *gate).await.unwrap();
    let open = async {
        waiting(service.pool(), 1).await;
        gate.commit().await.unwrap();
    };
    let (one, other, ()) = tokio::join!(find(), find(), open);
    assert!(Arc::ptr_eq(&one, &other), "there were two reads");
    assert!(!Arc::ptr_eq(&one, &find().await), "what was read is not kept");
}

/// Redis refuses whatever does not begin with the shop's prefix. The demo's seller has the same id in all of them.
#[tokio::test(flavor = "multi_thread")]
async fn two_shops_in_one_redis_do_not_meet() {
    let (ours, theirs) = (PartOfRedis::new().await, PartOfRedis::new().await);
    let service = Running::start::<User>(&ours.variables()).await;
    let user = opened(&service).await;
    let account = db::account(&mut service.pool().acquire().await.unwrap(), user).await;
    let account = account.unwrap().unwrap();
    let other = Account { name: "Theirs".to_owned(), ..account };
    let cache = Cache::new(theirs.settings().connect().unwrap());
    eventually("each holds its own", async || {
        cache.put(&other).await;
        assert_eq!(me(&service, user).await["name"], "Ada");
        let key = format!("{}user_profile:{user}", ours.key_prefix);
        let held = redis::cmd("EXISTS").arg(key).query_async(&mut real().connection()).await;
        (held.unwrap() && cache.get(user).await? == other).then_some(())
    })
    .await;
    assert_eq!(seconds_left(user).await, -2, "a key without a prefix");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_opened_shown_and_changed_without_redis() {
    let service = Running::start::<User>(&[(env::REDIS_URL, &closed_port().await)]).await;
    let user = opened(&service).await;
    let renamed = rename(&service, user, "Lovelace").await;
    assert_eq!(me(&service, user).await, renamed);
    assert!(service.metrics().await.contains("outcome=\"unavailable\""));
}
