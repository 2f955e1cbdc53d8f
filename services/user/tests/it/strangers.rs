//! Accounts that a stranger has opened with another person's address.

use chrono::{TimeDelta, Utc};
use contracts::UserId;
use contracts::events::{EmailVerificationRequested, EmailVerified};
use kit::testing::Running;
use serde_json::{Value, json};

use crate::letters::{ADA, OTHER, count, owner, reset, reset_letter, verify};
use crate::{PASSWORD, answer, login, post, refresh, start};

/// Logs in on a browser: its tokens, and the cookie that it keeps.
pub(crate) async fn login_in_browser(service: &Running) -> (Value, String) {
    let body = json!({ "email": ADA, "password": PASSWORD });
    let response = post(service, "/api/v1/auth/login", &body).await;
    let cookie = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let cookie = cookie.to_owned();
    (answer(response).await.1, cookie)
}

/// Adds an address to the account, and counts those that it has.
async fn add_address(service: &Running, user: UserId) {
    let place = json!({ "recipient": "A", "line1": "1", "city": "London", "country": "GB" });
    let request = service.request_as(user, &[], "POST", "/api/v1/me/addresses").json(&place);
    assert_eq!(request.send().await.unwrap().status(), 201);
}

const ADDRESSES: &str = "SELECT count(*) FROM addresses";

/// Another person has registered with the owner's address, and waits.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_an_address_ends_what_a_stranger_has_begun() {
    for by_reset in [false, true] {
        let service = start().await;
        let user = owner(&service).await;
        let (strangers, _) = login_in_browser(&service).await;
        add_address(&service, user).await;
        if by_reset {
            let link = reset_letter(&service, user).await;
            assert_eq!(reset(&service, &link, OTHER).await.0, 204);
        } else {
            let link = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
            let reset_link = reset_letter(&service, user).await;
            assert_eq!(verify(&service, &link).await.0, 204);
            assert_eq!(reset(&service, &reset_link, OTHER).await.0, 400, "it ends other links");
        }
        assert_eq!(refresh(&service, &strangers["refresh_token"]).await.0, 401);
        assert_eq!(count(&service, ADDRESSES).await, 0, "a parcel would go to the stranger");
        assert_eq!(count(&service, "SELECT count(*) FROM email_tokens").await, 0);
        // For the services that have stored something, such as payment methods.
        let event: EmailVerified = service.published(user.uuid()).await;
        assert!(!event.owner_known);
        let left = event.tokens_expire_by - Utc::now();
        assert!(left > TimeDelta::minutes(4), "the stranger's token lives on: {left}");
    }
}

/// The owner has followed the link without knowing who registered; the stranger still has the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_ends_what_a_stranger_did_after_the_owner_verified() {
    let service = start().await;
    let user = owner(&service).await;
    let link = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
    assert_eq!(verify(&service, &link).await.0, 204);
    let first: EmailVerified = service.published(user.uuid()).await;
    // Honest people too register on one device and read mail on another: the password goes on working.
    let (strangers, _) = login_in_browser(&service).await;
    add_address(&service, user).await;

    let link = reset_letter(&service, user).await;
    assert_eq!(reset(&service, &link, OTHER).await.0, 204);
    assert_eq!(count(&service, ADDRESSES).await, 0, "a parcel would go to the stranger");
    let later = |event: &EmailVerified| event.tokens_expire_by > first.tokens_expire_by;
    let event = service.published_where(user.uuid(), later).await;
    assert!(!event.owner_known, "other services remove what the stranger has stored");
    assert_eq!(refresh(&service, &strangers["refresh_token"]).await.0, 401);
    assert_eq!(login(&service, ADA, PASSWORD).await.0, 401);

    // From now on the password is the owner's, wherever they choose the next.
    add_address(&service, user).await;
    let link = reset_letter(&service, user).await;
    assert_eq!(reset(&service, &link, PASSWORD).await.0, 204);
    assert_eq!(count(&service, ADDRESSES).await, 1, "it is the owner's");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_resets_where_they_have_logged_in_keeps_addresses() {
    let service = start().await;
    let user = owner(&service).await;
    let link = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
    assert_eq!(verify(&service, &link).await.0, 204, "on another device");
    let (_, cookie) = login_in_browser(&service).await;
    add_address(&service, user).await;
    let link = reset_letter(&service, user).await;
    let body = json!({ "token": link.expose(), "new_password": OTHER });
    let request = service.request("POST", "/api/v1/auth/reset-password").header("Cookie", cookie);
    assert_eq!(request.json(&body).send().await.unwrap().status(), 204);
    assert_eq!(count(&service, ADDRESSES).await, 1, "it is the owner's");
}

/// Another password chosen by the stranger, who knows the one before, proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_changes_the_password_stays_a_stranger() {
    let service = start().await;
    let user = owner(&service).await;
    let link = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
    assert_eq!(verify(&service, &link).await.0, 204);
    let body = json!({ "current_password": PASSWORD, "new_password": OTHER });
    let request = service.request_as(user, &[], "PUT", "/api/v1/me/password").json(&body);
    assert_eq!(request.send().await.unwrap().status(), 204);
    add_address(&service, user).await;
    let link = reset_letter(&service, user).await;
    assert_eq!(reset(&service, &link, PASSWORD).await.0, 204);
    assert_eq!(count(&service, ADDRESSES).await, 0, "a parcel would go to the stranger");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_verifies_where_they_have_logged_in_stays_logged_in() {
    let service = start().await;
    let user = owner(&service).await;
    let ((here, cookie), (elsewhere, _)) =
        (login_in_browser(&service).await, login_in_browser(&service).await);
    add_address(&service, user).await;
    let link = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
    let request = service.request("POST", "/api/v1/auth/verify-email").header("Cookie", cookie);
    let request = request.json(&json!({ "token": link.expose() }));
    assert_eq!(request.send().await.unwrap().status(), 204);
    assert_eq!(refresh(&service, &here["refresh_token"]).await.0, 200);
    assert_eq!(refresh(&service, &elsewhere["refresh_token"]).await.0, 401);
    assert_eq!(count(&service, ADDRESSES).await, 1, "it is the owner's");
}

/// Clients without cookies show an access token; one that has expired is as good as none.
#[tokio::test(flavor = "multi_thread")]
async fn who_verifies_with_an_access_token_keeps_their_addresses() {
    for (own, left) in [(true, 1), (false, 0)] {
        let service = start().await;
        let user = owner(&service).await;
        add_address(&service, user).await;
        let link = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
        let body = json!({ "token": link.expose() });
        let request = service.request("POST", "/api/v1/auth/verify-email").json(&body);
        let token = if own { service.signer.token(user, &[]) } else { "expired".to_owned() };
        assert_eq!(request.bearer_auth(token).send().await.unwrap().status(), 204);
        assert_eq!(count(&service, ADDRESSES).await, left);
        let event: EmailVerified = service.published(user.uuid()).await;
        assert_eq!(event.owner_known, own);
    }
}
