//! What pretends to come from a payment provider.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use e2e::invariants::Databases;
use hmac::{Hmac, Mac};
use reqwest::Method;
use sha2::Sha256;

use super::Setting;
use super::case::{By, Case};
use crate::world::WEBHOOK_SECRET;

const STRIPE: &str = "/api/v1/webhooks/payments/stripe";
/// An event that means nothing to a shop, which notes that it was told.
const EVENT: &str =
    r#"{"id": "evt_bad_input", "type": "customer.created", "data": {"object": {}}}"#;
/// The header of the signature.
const HEADER: &str = "Stripe-Signature";
/// Seconds after which a signature is too old, and some more.
const LONG_AGO: u64 = 310;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A signature over a body at a time, in Stripe's scheme.
fn signed(secret: &str, time: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(format!("{time}.{body}").as_bytes());
    format!("t={time},v1={:x}", mac.finalize().into_bytes())
}

/// What is not signed as it should be, or not now.
pub(super) fn cases() -> Vec<Case> {
    let told = |what, body: &str, signature: String| {
        Case::new(what, By::Guest, Method::POST, STRIPE)
            .header(HEADER, signature)
            .json(body)
            .is(400, "webhook-signature-invalid")
    };
    let good = signed(WEBHOOK_SECRET, now(), EVENT);
    vec![
        Case::new("a webhook without a signature", By::Guest, Method::POST, STRIPE)
            .json(EVENT)
            .is(400, "webhook-signature-invalid"),
        told("an empty signature", EVENT, String::new()),
        told("somebody else's signature", EVENT, signed("whsec_other", now(), EVENT)),
        told("a webhook sent again later", EVENT, signed(WEBHOOK_SECRET, now() - LONG_AGO, EVENT)),
        told("a webhook of the future", EVENT, signed(WEBHOOK_SECRET, now() + LONG_AGO, EVENT)),
        told("an old signature at another time", EVENT, moved(&good)),
        told("a webhook that was serialised anew", &EVENT.replace(": ", ":"), good.clone()),
        told("a webhook with another content", &EVENT.replace("customer", "payment_intent"), good),
        told("a thousand signatures", EVENT, format!("t={}{}", now(), ",v1=00".repeat(1000))),
        Case::new(
            "a webhook of nobody",
            By::Guest,
            Method::POST,
            "/api/v1/webhooks/payments/nobody",
        )
        .json(EVENT)
        .is(404, "not-found"),
        signed_nonsense(),
    ]
}

/// The same signature, said to be a second younger.
fn moved(signature: &str) -> String {
    let (_, digest) = signature.split_once(',').unwrap_or_default();
    format!("t={},{digest}", now() + 1)
}

/// It is the provider's, but no event.
fn signed_nonsense() -> Case {
    let body = r#"{"id": "evt_bad_input"}"#;
    Case::new("a signed webhook without a type", By::Guest, Method::POST, STRIPE)
        .header(HEADER, signed(WEBHOOK_SECRET, now(), body))
        .json(body)
}

/// The control: what is signed is taken, and told again it takes no effect again.
pub(super) async fn genuine(setting: &Setting, databases: &Databases) -> Result<()> {
    for time in [now() - 1, now()] {
        let told = setting.guest.request_to(Method::POST, STRIPE);
        let told = told.header(HEADER, signed(WEBHOOK_SECRET, time, EVENT)).body(EVENT);
        let status = told.send().await?.status();
        ensure!(status == 204, "a genuine webhook is answered with {status}");
    }
    let noted = "SELECT count(*) FROM webhook_events WHERE event_id = 'evt_bad_input'";
    let noted = databases.number("payment", noted).await?;
    ensure!(noted == 1, "told twice, noted {noted} times");
    Ok(())
}
