//! Tokens that somebody has made who wants to be somebody else.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::kubectl::Kubectl;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use crate::world::SHOP;

/// Tokens that no service may take, and what is wrong with each. A good one is what they are made from.
pub(super) async fn tokens(kubectl: &Kubectl, good: &str) -> Result<Vec<(&'static str, String)>> {
    let key = signing_key(kubectl).await?;
    let stranger = SigningKey::from_bytes(&[7; 32]);
    let [head, claims, signature] = parts(good)?;
    let (known, said) = (decoded(head)?, decoded(claims)?);
    let with = |part: &Value, name: &str, value: Value| {
        let mut part = part.clone();
        part[name] = value;
        part
    };
    let signed = |head: &Value, claims: &Value, key: &SigningKey| {
        let text = format!("{}.{}", encoded(head), encoded(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).to_bytes());
        format!("{text}.{signature}")
    };
    // Signed by the shop's own key, so that nothing but the claim can be what is wrong.
    let claiming = |name, value| signed(&known, &with(&said, name, value), &key);
    let unsigned =
        |algorithm: &str| format!("{}.{claims}.", encoded(&with(&known, "alg", json!(algorithm))));
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let admin = with(&said, "roles", json!(["admin"]));
    Ok(vec![
        ("alg: none", unsigned("none")),
        ("alg: NONE", unsigned("NONE")),
        ("alg: HS256", format!("{}{signature}", unsigned("HS256"))),
        ("no signature", format!("{head}.{claims}.")),
        ("another's signature", format!("{head}.{}.{signature}", encoded(&admin))),
        ("another's key", signed(&known, &admin, &stranger)),
        ("a key that nobody knows", signed(&with(&known, "kid", json!("none")), &said, &key)),
        (
            "a key that is a path",
            signed(&with(&known, "kid", json!("../../dev/null")), &said, &key),
        ),
        ("another audience", claiming("aud", json!("other"))),
        ("another shop", claiming("iss", json!("other"))),
        ("an expired token", claiming("exp", json!(now - 60))),
        ("a token of the future", claiming("nbf", json!(now + 60))),
        ("another type of token", claiming("typ", json!("refresh"))),
        ("nobody's token", claiming("sub", json!("*"))),
        ("a role that is none", claiming("roles", json!(["root"]))),
        ("half a token", head.to_owned()),
        ("nothing", String::new()),
        ("a token of 20 000 characters", "a".repeat(20_000)),
    ])
}

/// The control: the same hand signs a token that is good.
pub(super) async fn genuine(kubectl: &Kubectl, good: &str) -> Result<String> {
    let key = signing_key(kubectl).await?;
    let [head, claims, _] = parts(good)?;
    let text = format!("{head}.{}", encoded(&decoded(claims)?));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).to_bytes());
    Ok(format!("{text}.{signature}"))
}

/// The key of the shop, which its owner may read.
async fn signing_key(kubectl: &Kubectl) -> Result<SigningKey> {
    let secret = format!("{SHOP}-signing-key");
    let template = "go-template={{index .data \"key.pem\" | base64decode}}";
    let pem = kubectl.run(&["get", "secret", &secret, "-o", template]).await?;
    SigningKey::from_pkcs8_pem(&pem).context("the signing key is none")
}

fn parts(token: &str) -> Result<[&str; 3]> {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().ok().context("a token has three parts")
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn decoded(part: &str) -> Result<Value> {
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}
