//! Conditions that follow from the spec alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use operator_core::{
    status::{Assessment, status},
    validate::validate,
};
use serde_json::{Value, json};

use crate::support::{config, observed, shop};

/// Status, reason and message of a condition of a Shop with this spec, if it has it.
fn condition(spec: &Value, type_: &str) -> Option<(String, String, String)> {
    let stripe = Secret {
        metadata: ObjectMeta { name: Some("pay".into()), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([
            ("apiKey".into(), "sk_test_1".into()),
            ("webhookSecret".into(), "whsec_1".into()),
        ])),
        ..Secret::default()
    };
    let shop = shop(spec.clone());
    let valid = validate(&shop, &observed(&[stripe]), &config()).expect("the shop is valid");
    let facts = Assessment { valid: Some(valid), ..Assessment::default() };
    let conditions = status(&shop, &facts, Timestamp::UNIX_EPOCH).conditions;
    let degraded = conditions.iter().find(|c| c.type_ == "Degraded").expect("it is always said");
    assert_eq!(degraded.status, "False", "{}", degraded.message);
    let found = conditions.into_iter().find(|condition| condition.type_ == type_)?;
    Some((found.status, found.reason, found.message))
}

#[test]
fn test_payments_are_said_where_they_are_taken() {
    let of = |payments: Value| {
        let found = condition(&json!({ "payments": payments }), "TestPaymentsEnabled");
        found.map(|(status, reason, _)| (status, reason))
    };
    let said = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
    let stripe = || json!({ "secretRef": { "name": "pay" } });
    assert_eq!(of(json!({})), said("True", "TestProviderAlone"));
    assert_eq!(of(json!({ "stripe": stripe() })), said("False", "StripeConfigured"));
    let allowed = json!({ "stripe": stripe(), "allowTestProviderBesideStripe": true });
    assert_eq!(of(allowed), said("True", "TestProviderAllowed"));
    assert_eq!(of(json!({ "stripe": stripe(), "testProvider": false })), None);
}

#[test]
fn a_proxy_that_is_not_trusted_is_said_with_what_to_do() {
    let of = |gateway: Value| {
        let spec = json!({ "host": "a.example", "gateway": gateway });
        condition(&spec, "ClientAddressesKnown")
    };
    let route = || json!({ "parentRefs": [{ "name": "public" }] });
    for gateway in [json!({ "ingress": {} }), json!({ "httpRoute": route() })] {
        let (status, reason, message) = of(gateway).unwrap();
        assert_eq!((&*status, &*reason), ("False", "NoTrustedProxies"));
        assert!(message.contains("spec.gateway.trustedProxies"), "{message}");
    }
    let trusted = json!({ "ingress": {}, "trustedProxies": ["10.244.0.0/16"] });
    let (status, reason, _) = of(trusted).unwrap();
    assert_eq!((&*status, &*reason), ("True", "ProxiesTrusted"));
    assert_eq!(of(json!({})), None);
}
