//! From registration to logout.

use std::time::{Duration, Instant};

use contracts::events::UserRegistered;
use kit::testing::Running;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{PASSWORD, answer, login, me, post, refresh, register, start};

/// What is wrong with the fields of a registration: pointers.
async fn refused_fields(service: &Running, body: Value) -> Vec<String> {
    let (status, problem) = answer(post(service, "/api/v1/auth/register", &body).await).await;
    assert_eq!((status, &problem["type"]), (422, &json!("/problems/invalid-fields")), "{problem}");
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_registers_and_logs_in() {
    let service = start().await;
    let account = register(&service, " Ada@Example.com ").await;
    assert_eq!(account["email"], "ada@example.com");
    assert_eq!(account["roles"], json!(["customer"]));
    assert!(account.get("password_hash").is_none());

    let id: Uuid = account["id"].as_str().unwrap().parse().unwrap();
    let event: UserRegistered = service.published(id).await;
    assert_eq!((event.email.as_str(), event.name.as_str()), ("ada@example.com", "Ada"));

    let (status, tokens) = login(&service, "ADA@example.com", PASSWORD).await;
    assert_eq!((status, &tokens["token_type"]), (200, &json!("Bearer")), "{tokens}");
    assert_eq!(tokens["expires_in"], 300);
    let (status, found) = me(&service, tokens["access_token"].as_str().unwrap()).await;
    assert_eq!((status, found), (200, account));

    let hash: String = sqlx::query_scalar("SELECT password_hash FROM accounts")
        .fetch_one(service.pool())
        .await
        .unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    let metrics = service.metrics().await;
    assert!(metrics.contains("registrations_total "), "{metrics}");
    assert!(metrics.contains("logins_total{outcome=\"success\"}"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_registrations_are_refused() {
    let service = start().await;
    let with = |field: &str, value: Value| {
        let mut body = json!({ "email": "bob@example.com", "password": PASSWORD, "name": "Bob" });
        body[field] = value;
        body
    };
    assert_eq!(refused_fields(&service, with("password", json!("short"))).await, ["/password"]);
    assert_eq!(refused_fields(&service, with("password", json!("Password1"))).await, ["/password"]);
    let long = json!("x".repeat(129));
    assert_eq!(refused_fields(&service, with("password", long)).await, ["/password"]);
    assert_eq!(refused_fields(&service, with("email", json!("bob"))).await, ["/email"]);
    assert_eq!(refused_fields(&service, with("name", json!(""))).await, ["/name"]);
    assert_eq!(refused_fields(&service, with("roles", json!(["admin"]))).await.len(), 1);
    let all = json!({ "email": "", "password": "", "name": "\n" });
    assert_eq!(refused_fields(&service, all).await, ["/email", "/password", "/name"]);

    let huge = with("password", json!("x".repeat(10 << 20)));
    let sent = service.request("POST", "/api/v1/auth/register").json(&huge).send().await;
    // The answer comes, and the connection goes, before all of the body is sent.
    assert!(sent.map_or(true, |answer| answer.status() == 413));
    let nul = with("name", json!("a\0b"));
    assert_eq!(post(&service, "/api/v1/auth/register", &nul).await.status(), 400);

    let accounts: i64 = sqlx::query_scalar("SELECT count(*) FROM accounts")
        .fetch_one(service.pool())
        .await
        .unwrap();
    assert_eq!(accounts, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_one_account_even_in_a_race() {
    let service = start().await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let upper = json!({ "email": "ADA@EXAMPLE.COM", "password": PASSWORD });
    let (first, second) = tokio::join!(
        post(&service, "/api/v1/auth/register", &body),
        post(&service, "/api/v1/auth/register", &upper),
    );
    let answers = [answer(first).await, answer(second).await];
    let refused = answers.iter().find(|(status, _)| *status == 409).unwrap();
    assert_eq!(refused.1["type"], "/problems/email-taken");
    assert!(answers.iter().any(|(status, _)| *status == 201), "{answers:?}");
    let events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(service.pool()).await.unwrap();
    assert_eq!(
        events, 3,
        "that it happened, the link for its mail, and that another was attempted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_who_has_an_account() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    let (status, mut wrong) = login(&service, "ada@example.com", "wrong password").await;
    let (other_status, mut unknown) = login(&service, "eve@example.com", "wrong password").await;
    for problem in [&mut wrong, &mut unknown] {
        problem.as_object_mut().unwrap().remove("trace_id");
    }
    assert_eq!((status, &wrong["type"]), (401, &json!("/problems/invalid-credentials")));
    assert_eq!((status, wrong), (other_status, unknown));

    // The quickest of many, by turns: noise only ever adds. Without hashing an answer takes a few
    // milliseconds, with it tens of them.
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for round in 0..200 {
        // A busy machine needs more of them.
        if round >= 20 && unknown > known / 2 {
            break;
        }
        sqlx::query("DELETE FROM attempts").execute(service.pool()).await.unwrap();
        known = known.min(refused_after(&service, "ada@example.com").await);
        unknown = unknown.min(refused_after(&service, "eve@example.com").await);
    }
    assert!(unknown > known / 2, "unknown: {unknown:?}, known: {known:?}");
    assert!(service.metrics().await.contains("logins_total{outcome=\"refused\"}"));
}

async fn refused_after(service: &Running, email: &str) -> Duration {
    let begun = Instant::now();
    assert_eq!(login(service, email, "wrong password").await.0, 401);
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_good_once_and_its_reuse_ends_the_session() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    let (_, first) = login(&service, "ada@example.com", PASSWORD).await;
    let (_, elsewhere) = login(&service, "ada@example.com", PASSWORD).await;

    let (status, second) = refresh(&service, &first["refresh_token"]).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert_eq!(me(&service, second["access_token"].as_str().unwrap()).await.0, 200);

    let (status, problem) = refresh(&service, &first["refresh_token"]).await;
    assert_eq!((status, &problem["type"]), (401, &json!("/problems/invalid-refresh-token")));
    let (status, _) = refresh(&service, &second["refresh_token"]).await;
    assert_eq!(status, 401, "the whole family is revoked");
    let (status, _) = refresh(&service, &elsewhere["refresh_token"]).await;
    assert_eq!(status, 200, "other sessions go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_refresh_at_once_one_wins() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;
    let token = &tokens["refresh_token"];
    let (a, b, c) =
        tokio::join!(refresh(&service, token), refresh(&service, token), refresh(&service, token));
    let mut statuses = [a.0, b.0, c.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401, 401]);
}

/// Each stores a token for as long as the session may live.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_refreshed_so_often_and_then_once_a_minute() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    let (_, mut tokens) = login(&service, "ada@example.com", PASSWORD).await;
    let (_, elsewhere) = login(&service, "ada@example.com", PASSWORD).await;
    let last_refresh_at = async |seconds: f64| {
        let at = "UPDATE attempts SET last_at = now() + make_interval(secs => $1)";
        sqlx::query(at).bind(seconds).execute(service.pool()).await.unwrap();
    };
    for n in 0..60 {
        let (status, next) = refresh(&service, &tokens["refresh_token"]).await;
        assert_eq!(status, 200, "{n}: {next}");
        tokens = next;
    }
    // However long this takes on a busy machine.
    last_refresh_at(30.0).await;
    for _ in 0..2 {
        let body = json!({ "refresh_token": tokens["refresh_token"] });
        let refused = post(&service, "/api/v1/auth/refresh", &body).await;
        let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=90).contains(&wait), "{wait}");
        let (status, problem) = answer(refused).await;
        assert_eq!((status, &problem["type"]), (429, &json!("/problems/rate-limited")));
    }
    assert_eq!(refresh(&service, &elsewhere["refresh_token"]).await.0, 200, "another session");
    // The token was not spent. Clients that need one every few minutes never wait, however long they go on.
    for _ in 0..5 {
        last_refresh_at(-61.0).await;
        let (status, next) = refresh(&service, &tokens["refresh_token"]).await;
        assert_eq!(status, 200, "{next}");
        tokens = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_live_refresh_token_is_refused() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;
    for forged in ["*", "", "%", "a' OR '1'='1", tokens["access_token"].as_str().unwrap()] {
        assert_eq!(refresh(&service, &json!(forged)).await.0, 401, "{forged}");
    }
    sqlx::query("UPDATE refresh_tokens SET expires_at = now()")
        .execute(service.pool())
        .await
        .unwrap();
    assert_eq!(refresh(&service, &tokens["refresh_token"]).await.0, 401, "expired");
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM refresh_tokens")
        .fetch_all(service.pool())
        .await
        .unwrap();
    assert_eq!(stored.len(), 1, "a refused refresh issues nothing");
    assert_ne!(stored[0], tokens["refresh_token"].as_str().unwrap().as_bytes());
}

/// However often it is used, a session ends: its tokens never reach beyond that.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_90_days_after_its_login() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;
    let aged = async |statement: &'static str| {
        sqlx::query(statement).execute(service.pool()).await.unwrap();
    };
    aged("UPDATE sessions SET created_at = created_at - interval '89 days'").await;
    let (status, tokens) = refresh(&service, &tokens["refresh_token"]).await;
    assert_eq!(status, 200, "{tokens}");
    let beyond = "SELECT count(*) FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id
                  WHERE t.spent_at IS NULL AND t.expires_at > s.created_at + interval '90 days'";
    let beyond: i64 = sqlx::query_scalar(beyond).fetch_one(service.pool()).await.unwrap();
    assert_eq!(beyond, 0, "no token outlives its session");
    aged("UPDATE sessions SET created_at = created_at - interval '2 days'").await;
    aged("UPDATE refresh_tokens SET expires_at = now() + interval '30 days'").await;
    assert_eq!(refresh(&service, &tokens["refresh_token"]).await.0, 401);
}

/// What was stored before the clock was put back seems to come from the future.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_a_clock_that_is_put_back() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;
    for statement in [
        "UPDATE sessions SET created_at = created_at + interval '1 day'",
        "UPDATE refresh_tokens SET expires_at = expires_at + interval '1 day'",
    ] {
        sqlx::query(statement).execute(service.pool()).await.unwrap();
    }
    let (status, tokens) = refresh(&service, &tokens["refresh_token"]).await;
    assert_eq!(status, 200, "{tokens}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_the_session() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;
    let body = json!({ "refresh_token": tokens["refresh_token"] });
    for time in ["first", "second"] {
        let answer = post(&service, "/api/v1/auth/logout", &body).await;
        assert_eq!(answer.status(), 204, "{time} time");
    }
    assert_eq!(refresh(&service, &tokens["refresh_token"]).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_everywhere_ends_all_sessions_of_one() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    register(&service, "bob@example.com").await;
    let (_, here) = login(&service, "ada@example.com", PASSWORD).await;
    let (_, there) = login(&service, "ada@example.com", PASSWORD).await;
    let (_, other) = login(&service, "bob@example.com", PASSWORD).await;
    let path = "/api/v1/auth/logout-everywhere";
    assert_eq!(service.request("POST", path).send().await.unwrap().status(), 401);
    let token = here["access_token"].as_str().unwrap();
    let answer = service.request("POST", path).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    for (session, status) in [(here, 401), (there, 401), (other, 200)] {
        assert_eq!(refresh(&service, &session["refresh_token"]).await.0, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_have_ended_are_forgotten() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    let (_, old) = login(&service, "ada@example.com", PASSWORD).await;
    refresh(&service, &old["refresh_token"]).await;
    sqlx::query("UPDATE sessions SET created_at = now() - interval '90 days'")
        .execute(service.pool())
        .await
        .unwrap();
    let (_, fresh) = login(&service, "ada@example.com", PASSWORD).await;
    user::db::purge::run(service.pool()).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions")
        .fetch_one(service.pool())
        .await
        .unwrap();
    assert_eq!(left, 1);
    assert_eq!(refresh(&service, &fresh["refresh_token"]).await.0, 200);
}
