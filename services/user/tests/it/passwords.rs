//! Passwords that are changed by their owners.

use contracts::UserId;
use kit::testing::{Running, waiting};
use serde_json::{Value, json};
use user::throttle::FREE_PASSWORD_CHANGES;

use crate::{PASSWORD, answer, login, refresh, register, start};

const ADA: &str = "ada@example.com";
const OTHER: &str = "another long password";

async fn change(service: &Running, user: UserId, current: &str, new: &str) -> (u16, Value) {
    let request = service.request_as(user, &[], "PUT", "/api/v1/me/password");
    let body = json!({ "current_password": current, "new_password": new });
    answer(request.json(&body).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_all_sessions() {
    let service = start().await;
    let account = register(&service, "ada@example.com").await;
    let user: UserId = account["id"].as_str().unwrap().parse().unwrap();
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;
    for (current, new, pointer) in [
        ("not the password", OTHER, "/current_password"),
        ("", OTHER, "/current_password"),
        (PASSWORD, "short", "/new_password"),
        (PASSWORD, "password", "/new_password"),
    ] {
        let (status, problem) = change(&service, user, current, new).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{problem}");
    }
    assert_eq!(refresh(&service, &tokens["refresh_token"]).await.0, 200, "nothing has changed");
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;

    assert_eq!(change(&service, user, PASSWORD, OTHER).await.0, 204);
    assert_eq!(refresh(&service, &tokens["refresh_token"]).await.0, 401);
    assert_eq!(login(&service, "ada@example.com", PASSWORD).await.0, 401);
    assert_eq!(login(&service, "ada@example.com", OTHER).await.0, 200);
    assert_eq!(change(&service, UserId::new(), PASSWORD, OTHER).await.0, 404, "nobody's");
}

/// Holds an account's row until so many requests wait for it.
async fn gate(service: &Running, begin: impl Future<Output = ()>, waiters: i64) {
    let mut gate = service.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM accounts FOR UPDATE").execute(&mut *gate).await.unwrap();
    let open = async {
        waiting(service.pool(), waiters).await;
        gate.commit().await.unwrap();
    };
    tokio::join!(begin, open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_the_old_password_during_its_change_opens_nothing() {
    let service = start().await;
    let account = register(&service, ADA).await;
    let user: UserId = account["id"].as_str().unwrap().parse().unwrap();
    let (mut changed, mut late) = (0, (0, Value::Null));
    // The change waits for the row first, then the login, whose password was right when it was looked at.
    let race = async {
        let change = async { changed = change(&service, user, PASSWORD, OTHER).await.0 };
        let login = async {
            waiting(service.pool(), 1).await;
            late = login(&service, ADA, PASSWORD).await;
        };
        tokio::join!(change, login);
    };
    gate(&service, race, 2).await;
    assert_eq!((changed, late.0), (204, 401), "{}", late.1);
    let live: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")
        .fetch_one(service.pool())
        .await
        .unwrap();
    assert_eq!(live, 0, "the change has ended all sessions");
    assert_eq!(login(&service, ADA, OTHER).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_one_password_at_once_one_holds() {
    let service = start().await;
    let account = register(&service, ADA).await;
    let user: UserId = account["id"].as_str().unwrap().parse().unwrap();
    let others = ["one of the long passwords", "another of the long passwords"];
    let mut statuses = [0; 2];
    let [one, other] = &mut statuses;
    let race = async {
        let one = async { *one = change(&service, user, PASSWORD, others[0]).await.0 };
        let other = async { *other = change(&service, user, PASSWORD, others[1]).await.0 };
        tokio::join!(one, other);
    };
    gate(&service, race, 2).await;
    let mut sorted = statuses;
    sorted.sort_unstable();
    assert_eq!(sorted, [204, 422]);
    for (status, password) in statuses.into_iter().zip(others) {
        let expected = if status == 204 { 200 } else { 401 };
        assert_eq!(login(&service, ADA, password).await.0, expected);
    }
}

/// Who has registered with another person's address floods that mailbox with no notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_changes_a_few_times_before_it_has_to_wait() {
    let service = start().await;
    let account = register(&service, ADA).await;
    let user: UserId = account["id"].as_str().unwrap().parse().unwrap();
    let password = |n: i32| format!("one of many passwords, number {n}");
    assert_eq!(change(&service, user, PASSWORD, &password(0)).await.0, 204);
    for n in 1..FREE_PASSWORD_CHANGES {
        assert_eq!(change(&service, user, &password(n - 1), &password(n)).await.0, 204, "{n}");
    }
    let last_change_at = async |seconds: f64| {
        let at = "UPDATE attempts SET last_at = now() + make_interval(secs => $1)";
        sqlx::query(at).bind(seconds).execute(service.pool()).await.unwrap();
    };
    // However long this takes on a busy machine.
    last_change_at(30.0).await;
    let last = password(FREE_PASSWORD_CHANGES - 1);
    let (status, problem) = change(&service, user, &last, PASSWORD).await;
    assert_eq!((status, &problem["type"]), (429, &json!("/problems/rate-limited")), "{problem}");
    // Hashing is dear: nothing is hashed, and nobody learns which password is right.
    assert_eq!(change(&service, user, "not the password", PASSWORD).await.0, 429);
    assert_eq!(login(&service, ADA, &last).await.0, 200, "it has not changed");
    last_change_at(-30.0).await;
    assert_eq!(change(&service, user, &last, PASSWORD).await.0, 204);
}
