//! Letters that bring a token along: for verifying an address, and for a forgotten password.

use contracts::events::{
    EmailVerificationRequested, Event, PasswordChanged, PasswordResetRequested,
};
use contracts::{EmailToken, UserId};
use kit::auth::Role;
use kit::testing::{Running, eventually};
use serde_json::{Value, json};
use user::letters::Purpose;
use user::throttle::FREE_ATTEMPTS;
use user::token::OpaqueToken;

use crate::{PASSWORD, administrator, answer, login, me, post, refresh, register, start};

pub(crate) const ADA: &str = "ada@example.com";
pub(crate) const OTHER: &str = "another long password";

pub(crate) async fn owner(service: &Running) -> UserId {
    register(service, ADA).await["id"].as_str().unwrap().parse().unwrap()
}

pub(crate) async fn verify(service: &Running, token: &EmailToken) -> (u16, Value) {
    let body = json!({ "token": token.expose() });
    answer(post(service, "/api/v1/auth/verify-email", &body).await).await
}

async fn send_again(service: &Running, user: UserId) -> reqwest::Response {
    service.request_as(user, &[], "POST", "/api/v1/me/verification").send().await.unwrap()
}

pub(crate) async fn forget(service: &Running, email: &str) -> (u16, Value) {
    answer(post(service, "/api/v1/auth/forgot-password", &json!({ "email": email })).await).await
}

pub(crate) async fn reset(service: &Running, token: &EmailToken, password: &str) -> (u16, Value) {
    let body = json!({ "token": token.expose(), "new_password": password });
    answer(post(service, "/api/v1/auth/reset-password", &body).await).await
}

/// The token that is good now, from the event that brings it to the mails.
pub(crate) async fn current<E: Event>(
    service: &Running,
    user: UserId,
    purpose: Purpose,
    token: fn(&E) -> &EmailToken,
) -> EmailToken {
    let query = "SELECT hash FROM email_tokens WHERE user_id = $1 AND purpose = $2";
    let hash: Vec<u8> = eventually("there is a token", async || {
        let query = sqlx::query_scalar(query).bind(user.uuid()).bind(purpose.as_str());
        query.fetch_optional(service.pool()).await.unwrap()
    })
    .await;
    let hashed = |token: &EmailToken| OpaqueToken::presented(token.expose().to_owned()).hash();
    let event = service.published_where(user.uuid(), |event: &E| hashed(token(event)) == hash);
    token(&event.await).clone()
}

/// The token of the letter that a shopper gets who has forgotten a password.
pub(crate) async fn reset_letter(service: &Running, user: UserId) -> EmailToken {
    assert_eq!(forget(service, " Ada@Example.COM ").await.0, 202);
    let purpose = Purpose::ResetPassword;
    current::<PasswordResetRequested>(service, user, purpose, |event| &event.token).await
}

async fn execute(service: &Running, statement: &'static str) {
    sqlx::query(statement).execute(service.pool()).await.unwrap();
}

pub(crate) async fn count(service: &Running, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(service.pool()).await.unwrap()
}

const INVALID: &str = "/problems/invalid-email-token";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_the_letter_verifies_the_address_once() {
    let service = start().await;
    let user = owner(&service).await;
    let letter = service.published::<EmailVerificationRequested>(user.uuid()).await;
    let days = (letter.expires_at - chrono::Utc::now()).num_hours();
    assert!((71..=72).contains(&days), "{days} hours");
    let (_, tokens) = login(&service, ADA, PASSWORD).await;
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(me(&service, access).await.1["email_verified"], false);

    let (status, problem) = reset(&service, &letter.token, OTHER).await;
    assert_eq!((status, &problem["type"]), (400, &json!(INVALID)), "not for this: {problem}");
    let at_once = futures_util::future::join_all((0..20).map(|_| verify(&service, &letter.token)));
    let statuses: Vec<u16> = at_once.await.into_iter().map(|(status, _)| status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    // On a busy machine some find no connection to the database in time.
    assert!(statuses.iter().all(|status| [204, 400, 503].contains(status)), "{statuses:?}");
    let (_, account) = me(&service, access).await;
    assert_eq!((&account["email_verified"], &account["version"]), (&json!(true), &json!(2)));

    // There is nothing to verify any more.
    assert_eq!(send_again(&service, user).await.status(), 202);
    assert_eq!(count(&service, "SELECT count(*) FROM email_tokens").await, 0);
    for nonsense in ["", "*", "%", &"x".repeat(10_000)] {
        let (status, problem) = verify(&service, &EmailToken::new(nonsense.to_owned())).await;
        assert_eq!((status, &problem["type"]), (400, &json!(INVALID)), "{nonsense:.9}: {problem}");
    }
    let (status, problem) = verify(&service, &EmailToken::new("\u{0}".to_owned())).await;
    assert_eq!(
        (status, &problem["type"]),
        (400, &json!("/problems/malformed-request")),
        "{problem}"
    );
}

/// As if so much time had passed since the e-mails that were sent.
pub(crate) async fn pass(service: &Running, minutes: i32) {
    let pass = "UPDATE attempts SET first_at = first_at - make_interval(mins => $1),
                                    last_at = last_at - make_interval(mins => $1)";
    sqlx::query(pass).bind(minutes).execute(service.pool()).await.unwrap();
}

pub(crate) const TOKENS: &str =
    "SELECT (SELECT count(*) FROM email_tokens) + (SELECT count(*) FROM earlier_email_tokens)";

#[tokio::test(flavor = "multi_thread")]
async fn earlier_links_stay_valid_and_no_mailbox_is_flooded() {
    let service = start().await;
    let user = owner(&service).await;
    let first = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
    let refused = send_again(&service, user).await;
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(refused.status() == 429 && (1..=60).contains(&wait), "{refused:?}");
    assert_eq!(send_again(&service, UserId::new()).await.status(), 404);
    pass(&service, 1).await;
    let at_once = futures_util::future::join_all((0..10).map(|_| send_again(&service, user))).await;
    let sent = at_once.iter().filter(|answer| answer.status() == 202).count();
    assert_eq!(sent, 1, "one e-mail a minute");
    let purpose = Purpose::VerifyEmail;
    let second =
        current::<EmailVerificationRequested>(&service, user, purpose, |event| &event.token).await;
    assert_eq!(count(&service, TOKENS).await, 2);
    let (status, _) = reset(&service, &first, OTHER).await;
    assert_eq!(status, 400, "not for this");
    assert_eq!(verify(&service, &first).await.0, 204, "it may be the one that is read");
    assert_eq!(verify(&service, &second).await.0, 400, "both have ended");
    assert_eq!(count(&service, TOKENS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_replaced_by_whoever_reads_the_letter() {
    let service = start().await;
    let user = owner(&service).await;
    let (_, tokens) = login(&service, ADA, PASSWORD).await;
    for _ in 0..FREE_ATTEMPTS {
        login(&service, ADA, "what was it").await;
    }
    assert_eq!(login(&service, ADA, PASSWORD).await.0, 429);
    let token = reset_letter(&service, user).await;
    let (status, problem) = reset(&service, &token, "short").await;
    let pointer = &problem["errors"][0]["pointer"];
    assert_eq!((status, pointer), (422, &json!("/new_password")), "{problem}");
    let at_once = futures_util::future::join_all((0..5).map(|_| reset(&service, &token, OTHER)));
    let good = at_once.await.into_iter().filter(|(status, _)| *status == 204).count();
    assert_eq!(good, 1, "a token is good once");

    service.published::<PasswordChanged>(user.uuid()).await;
    assert_eq!(refresh(&service, &tokens["refresh_token"]).await.0, 401);
    assert_eq!(login(&service, ADA, PASSWORD).await.0, 401);
    let (status, tokens) = login(&service, ADA, OTHER).await;
    assert_eq!(status, 200, "guesses at the old password do not count: {tokens}");
    let account = me(&service, tokens["access_token"].as_str().unwrap()).await.1;
    assert_eq!(account["email_verified"], true, "who gets the mail has the address");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_leave_the_outbox_when_they_are_published() {
    let service = start().await;
    let user = owner(&service).await;
    let token = reset_letter(&service, user).await;
    eventually("the outbox is published", async || {
        let left = "SELECT count(*) FROM outbox WHERE published_at IS NULL";
        (count(&service, left).await == 0).then_some(())
    })
    .await;
    let kept = "SELECT count(*) FROM outbox WHERE payload ? 'token' OR payload::text LIKE '%' || $1 || '%'";
    let kept: i64 =
        sqlx::query_scalar(kept).bind(token.expose()).fetch_one(service.pool()).await.unwrap();
    assert_eq!(kept, 0);
    let events = "SELECT count(*) FROM outbox WHERE payload ? 'expires_at'";
    assert_eq!(count(&service, events).await, 2, "the rest of both events is there");
    assert_eq!(reset(&service, &token, OTHER).await.0, 204, "the mail has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_put_back_delays_no_mail() {
    let service = start().await;
    let user = owner(&service).await;
    pass(&service, -24 * 60).await;
    assert_eq!(send_again(&service, user).await.status(), 202);
}

/// Whatever changes who can get in ends the links that were asked for before.
#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_credentials_ends_the_links_in_mails() {
    let service = start().await;
    let user = owner(&service).await;
    let admin = administrator(&service).await;
    let changed_password = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        let request = service.request_as(user, &[], "PUT", "/api/v1/me/password").json(&body);
        assert_eq!(request.send().await.unwrap().status(), 204);
    };
    let set_blocked = async |blocked: bool| {
        let version: i64 = sqlx::query_scalar("SELECT version FROM accounts WHERE id = $1")
            .bind(user.uuid())
            .fetch_one(service.pool())
            .await
            .unwrap();
        let path = format!("/api/v1/users/{user}/blocked");
        let request = service.request_as(admin, &[Role::Admin], "PUT", &path);
        let request = request.header("If-Match", version.to_string());
        let answer = request.json(&json!({ "blocked": blocked })).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };

    let link = reset_letter(&service, user).await;
    changed_password(PASSWORD, OTHER).await;
    assert_eq!(reset(&service, &link, "a thief's password").await.0, 400, "a change");
    assert_eq!(login(&service, ADA, OTHER).await.0, 200, "the owner's password holds");

    pass(&service, 60).await;
    let link = reset_letter(&service, user).await;
    set_blocked(true).await;
    set_blocked(false).await;
    assert_eq!(reset(&service, &link, "a thief's password").await.0, 400, "a block");

    pass(&service, 60).await;
    let link = reset_letter(&service, user).await;
    assert_eq!(send_again(&service, user).await.status(), 202);
    let purpose = Purpose::VerifyEmail;
    let verification =
        current::<EmailVerificationRequested>(&service, user, purpose, |event| &event.token).await;
    assert_eq!(reset(&service, &link, PASSWORD).await.0, 204);
    assert_eq!(verify(&service, &verification).await.0, 400, "a reset");
    assert_eq!(count(&service, "SELECT count(*) FROM email_tokens").await, 0);
}

/// A thief who knows the password has asked for e-mails, and ends their links. A stranger who has registered the address of
/// another person must not send it more by that.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_password_ends_pauses_between_emails_to_verified_addresses() {
    let service = start().await;
    let user = owner(&service).await;
    let change = async |old: &str, new: &str| {
        let body = json!({ "current_password": old, "new_password": new });
        let request = service.request_as(user, &[], "PUT", "/api/v1/me/password").json(&body);
        assert_eq!(request.send().await.unwrap().status(), 204);
    };
    pass(&service, 60).await;
    assert_eq!(send_again(&service, user).await.status(), 202);
    change(PASSWORD, OTHER).await;
    assert_eq!(send_again(&service, user).await.status(), 429, "a stranger's address");

    execute(&service, "UPDATE accounts SET email_verified_at = now()").await;
    reset_letter(&service, user).await;
    change(OTHER, "a thief's password").await;
    let link = reset_letter(&service, user).await;
    assert_eq!(reset(&service, &link, PASSWORD).await.0, 204, "the owner is back at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_good_for_an_hour_only() {
    let service = start().await;
    let user = owner(&service).await;
    let token = reset_letter(&service, user).await;
    execute(&service, "UPDATE email_tokens SET expires_at = expires_at - interval '1 hour'").await;
    let (status, problem) = reset(&service, &token, OTHER).await;
    assert_eq!((status, &problem["type"]), (400, &json!(INVALID)), "{problem}");
    assert_eq!(login(&service, ADA, PASSWORD).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_from_forgetting_who_has_an_account() {
    let service = start().await;
    owner(&service).await;
    register(&service, "eve@example.com").await;
    execute(&service, "UPDATE accounts SET blocked_at = now() WHERE email = 'eve@example.com'")
        .await;
    for email in ["nobody@example.com", "eve@example.com", ADA] {
        assert_eq!(forget(&service, email).await, (202, Value::Null), "{email}");
    }
    assert_eq!(forget(&service, "no address").await.0, 422);
    eventually("all requests are answered", async || {
        let open = count(&service, "SELECT count(*) FROM password_reset_requests").await;
        (open == 0).then_some(())
    })
    .await;
    let letters = "SELECT count(*) FROM email_tokens WHERE purpose = 'reset_password'";
    assert_eq!(count(&service, letters).await, 1, "Ada's");
}
