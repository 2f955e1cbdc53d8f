//! Access tokens: what is issued verifies, what is forged does not.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::UserId;
use contracts::events::EmailVerificationRequested;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kit::auth::{Claims, Role, Settings, Verifier};
use kit::testing::{ISSUER, Running, Signer, eventually};
use serde_json::{Value, json};
use user::token::{Issuer, Standing};
use uuid::Uuid;

use crate::letters::{ADA, owner};
use crate::strangers::login_in_browser;
use crate::{PASSWORD, login, me, refresh, register, start};

#[tokio::test(flavor = "multi_thread")]
async fn the_published_keys_verify_what_is_issued() {
    let service = start().await;
    let account = register(&service, "ada@example.com").await;
    let (_, tokens) = login(&service, "ada@example.com", PASSWORD).await;
    let token = tokens["access_token"].as_str().unwrap();

    let answer = service.request("GET", "/.well-known/jwks.json").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert!(!text.contains("\"d\""), "no private part");
    let keys: JwkSet = serde_json::from_str(&text).unwrap();
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[ISSUER]);
    validation.set_issuer(&[ISSUER]);
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).unwrap().claims;
    assert_eq!(claims.sub.to_string(), account["id"].as_str().unwrap());
    assert_eq!((claims.exp - claims.iat, claims.typ.as_str()), (300, "access"));
    assert_eq!(claims.roles, [Role::Customer]);
}

/// What a token says, after it was verified as services verify it.
fn claims(service: &Running, tokens: &Value) -> Claims {
    let (jwks_file, issuer) = (service.signer.jwks_file.clone(), ISSUER.to_owned());
    let verifier = Verifier::new(Settings { jwks_file, audience: issuer.clone(), issuer }).unwrap();
    verifier.verify(tokens["access_token"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_say_whether_the_email_address_is_verified() {
    let service = start().await;
    let user = owner(&service).await;
    let (before, cookie) = login_in_browser(&service).await;
    assert_eq!(claims(&service, &before).email_verified, Some(false));
    let link = service.published::<EmailVerificationRequested>(user.uuid()).await.token;
    let request = service.request("POST", "/api/v1/auth/verify-email").header("Cookie", cookie);
    let request = request.json(&json!({ "token": link.expose() }));
    assert_eq!(request.send().await.unwrap().status(), 204);
    let (_, renewed) = refresh(&service, &before["refresh_token"]).await;
    assert_eq!(claims(&service, &renewed).email_verified, Some(true));
    let (_, next) = login(&service, ADA, PASSWORD).await;
    assert_eq!(claims(&service, &next).email_verified, Some(true));
}

/// The pod of a rotation that cannot be replaced signs with the new key as soon as it is mounted.
#[test]
fn a_rotated_key_signs_within_a_minute() {
    let (old, new) = (Signer::new(), Signer::new());
    let issuer = Issuer::new(&old.key_file, ISSUER, ISSUER).unwrap();
    let start = Instant::now();
    let standing = Standing { roles: Vec::new(), email_verified: true };
    let holder = (UserId::new(), Uuid::now_v7());
    let key_at = |seconds| {
        let token = issuer.access_token(holder, &standing, start + Duration::from_secs(seconds));
        jsonwebtoken::decode_header(token.unwrap()).unwrap().kid
    };
    let kid = |signer: &Signer| {
        jsonwebtoken::decode_header(signer.token(UserId::new(), &[])).unwrap().kid
    };
    std::fs::copy(&new.key_file, &old.key_file).unwrap();
    assert_eq!(key_at(50), kid(&old), "the file is not read for every token");
    assert_eq!(key_at(61), kid(&new));
    // As while kubelet changes it.
    std::fs::write(&old.key_file, "").unwrap();
    assert_eq!(key_at(122), kid(&new));
}

/// The previous key's tokens are good while it is published, and the set on the public path is the mounted one.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_two_keys_are_accepted_while_both_are_published() {
    let service = start().await;
    let account = register(&service, "ada@example.com").await;
    let user: UserId = account["id"].as_str().unwrap().parse().unwrap();
    let (previous, next) = (&service.signer, Signer::new());
    previous.publish(&[&next, previous]);
    let token = next.token(user, &[]);
    eventually("the new key is known", async || {
        (me(&service, &token).await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(me(&service, &previous.token(user, &[])).await.0, 200);
    let answer = service.request("GET", "/.well-known/jwks.json").send().await.unwrap();
    let keys: JwkSet = answer.json().await.unwrap();
    for signer in [previous, &next] {
        let head = jsonwebtoken::decode_header(signer.token(user, &[])).unwrap();
        assert!(keys.find(&head.kid.unwrap()).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_are_refused() {
    let service = start().await;
    let account = register(&service, "ada@example.com").await;
    let user: UserId = account["id"].as_str().unwrap().parse().unwrap();
    let signer = &service.signer;
    assert_eq!(me(&service, &signer.token(user, &[])).await.0, 200, "the unforged one");

    let forged = |change: fn(&mut Claims)| {
        let mut claims = Signer::claims(user, &[Role::Admin]);
        change(&mut claims);
        signer.sign(&claims)
    };
    let good = signer.token(user, &[]);
    for (what, token) in [
        ("wrong audience", forged(|claims| claims.aud = "other".to_owned())),
        ("wrong issuer", forged(|claims| claims.iss = "other".to_owned())),
        ("expired", forged(|claims| claims.exp -= 400)),
        ("not yet valid", forged(|claims| claims.nbf += 400)),
        ("another type", forged(|claims| claims.typ = "refresh".to_owned())),
        ("another key", Signer::new().token(user, &[])),
        ("no algorithm", unsigned(&good)),
        ("another algorithm", with_public_key_as_secret(&good, user, &signer.jwks_file)),
        ("changed claims", with_claims_of(&good, &signer.token(UserId::new(), &[Role::Admin]))),
        ("garbage", "a.b.c".to_owned()),
        ("nothing", String::new()),
    ] {
        let (status, problem) = me(&service, &token).await;
        assert_eq!(
            (status, &problem["type"]),
            (401, &json!("/problems/unauthenticated")),
            "{what}"
        );
    }
    assert_eq!(service.request("GET", "/api/v1/me").send().await.unwrap().status(), 401);
}

/// Services on machines whose clocks differ by seconds understand each other; differences of hours are refused.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_may_differ_by_seconds_but_not_by_hours() {
    let service = start().await;
    let account = register(&service, "ada@example.com").await;
    let user: UserId = account["id"].as_str().unwrap().parse().unwrap();
    let at = async |seconds: i64| {
        let mut claims = Signer::claims(user, &[]);
        for time in [&mut claims.iat, &mut claims.nbf, &mut claims.exp] {
            *time += seconds;
        }
        me(&service, &service.signer.sign(&claims)).await.0
    };
    // Within the leeway; a signer's clock that is ahead by less comes into its time while the test runs.
    assert_eq!(at(4).await, 200);
    assert_eq!(at(-200).await, 200, "not yet expired");
    for hours in [1, 24] {
        assert_eq!(at(hours * 3600).await, 401, "signed {hours} hours ahead");
        assert_eq!(at(-hours * 3600).await, 401, "expired {hours} hours ago");
    }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn part(token: &str, index: usize) -> &str {
    token.split('.').nth(index).unwrap()
}

/// `alg: none`, with the key id of a real key.
fn unsigned(token: &str) -> String {
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let head = encode(&json!({ "alg": "none", "typ": "JWT", "kid": kid }));
    format!("{head}.{}.", part(token, 1))
}

/// HS256, keyed by what everybody knows: the public key.
fn with_public_key_as_secret(token: &str, user: UserId, jwks: &std::path::Path) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = jsonwebtoken::decode_header(token).unwrap().kid;
    let keys: Value = serde_json::from_slice(&std::fs::read(jwks).unwrap()).unwrap();
    let public = URL_SAFE_NO_PAD.decode(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
    let key = EncodingKey::from_secret(&public);
    jsonwebtoken::encode(&header, &Signer::claims(user, &[Role::Admin]), &key).unwrap()
}

fn with_claims_of(signed: &str, other: &str) -> String {
    format!("{}.{}.{}", part(signed, 0), part(other, 1), part(signed, 2))
}
