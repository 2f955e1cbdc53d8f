//! The environment of services.

use std::collections::BTreeMap;

use contracts::env;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use operator_core::{names, validate::validate};
use serde_json::{Value, json};

use crate::{
    build::{get, objects, templates},
    support::{config, observed, shop, validated},
};

/// The value of a variable of a pod's only container.
fn value(template: &Value, name: &str) -> Option<String> {
    let variables = template.pointer("/spec/containers/0/env")?.as_array()?;
    let variable = variables.iter().find(|variable| variable["name"] == name)?;
    variable["value"].as_str().map(str::to_owned)
}

#[test]
fn only_the_gateway_knows_its_proxies_and_only_if_there_are_some() {
    let proxies = json!(["10.244.0.0/16", "fd00::/8"]);
    let shop = validated(json!({ "gateway": { "trustedProxies": proxies } }));
    for (owner, template) in templates(&objects(&shop)) {
        let expected = (owner == "Deployment demo-gateway").then_some("10.244.0.0/16,fd00::/8");
        assert_eq!(value(&template, env::TRUSTED_PROXIES).as_deref(), expected, "{owner}");
    }
    for (owner, template) in templates(&objects(&validated(json!({})))) {
        assert!(!template.to_string().contains(env::TRUSTED_PROXIES), "{owner}");
    }
}

#[test]
fn the_gateway_knows_that_guests_share_addresses_where_no_proxy_is_trusted() {
    let shared = |gateway: Value| {
        let shop = validated(json!({ "host": "a.example", "gateway": gateway }));
        let of = |service: &str| {
            let deployment = get(&shop, "Deployment", &format!("demo-{service}"));
            value(deployment.pointer("/spec/template").unwrap(), env::SHARED_ADDRESSES)
        };
        assert_eq!(of("user"), None);
        of("gateway")
    };
    let route = || json!({ "parentRefs": [{ "name": "public" }] });
    assert_eq!(shared(json!({ "ingress": {} })).as_deref(), Some("true"));
    assert_eq!(shared(json!({ "httpRoute": route() })).as_deref(), Some("true"));
    assert_eq!(shared(json!({ "ingress": {}, "trustedProxies": ["10.244.0.0/16"] })), None);
    assert_eq!(shared(json!({})), None);
}

#[test]
fn only_payment_has_the_keys_of_stripe() {
    let stripe = Secret {
        metadata: ObjectMeta { name: Some("pay".into()), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([
            ("apiKey".into(), "sk_test_1".into()),
            ("webhookSecret".into(), "whsec_1".into()),
        ])),
        ..Secret::default()
    };
    let spec = json!({ "payments": {
        "testProvider": false,
        "stripe": { "secretRef": { "name": "pay" }, "apiUrl": "http://stripe.test:21112" },
    } });
    let judged = |secrets: &[Secret]| validate(&shop(spec.clone()), &observed(secrets), &config());
    let errors = judged(&[]).unwrap_err();
    assert_eq!(errors[0].path, "spec.payments.stripe.secretRef.name");
    let paid = judged(&[stripe]).unwrap();
    for (owner, template) in templates(&objects(&paid)) {
        let payment = owner.contains(" demo-payment");
        assert_eq!(template.to_string().contains(env::STRIPE_API_KEY), payment, "{owner}");
        let off = payment.then_some("false");
        assert_eq!(value(&template, env::PAYMENT_TEST_PROVIDER).as_deref(), off, "{owner}");
    }
    // It alone may call out to Stripe.
    for (service, expected) in [("payment", true), ("order", false)] {
        let policy = get(&paid, "NetworkPolicy", &format!("demo-{service}"));
        assert_eq!(policy["spec"]["egress"].to_string().contains("21112"), expected, "{service}");
    }
    let none = json!({ "payments": { "testProvider": false } });
    let errors = validate(&shop(none), &observed(&[]), &config()).unwrap_err();
    assert_eq!(errors[0].path, "spec.payments");
}

#[test]
fn the_test_provider_is_off_beside_stripe_unless_it_is_allowed() {
    let stripe = Secret {
        metadata: ObjectMeta { name: Some("pay".into()), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([
            ("apiKey".into(), "sk_test_1".into()),
            ("webhookSecret".into(), "whsec_1".into()),
        ])),
        ..Secret::default()
    };
    // Whether payment has the test provider, and the list of providers that order gets.
    let environment = |mut payments: Value, with_stripe: bool| {
        if with_stripe {
            payments["stripe"] = json!({ "secretRef": { "name": "pay" } });
        }
        let secrets = observed(std::slice::from_ref(&stripe));
        let shop = validate(&shop(json!({ "payments": payments })), &secrets, &config()).unwrap();
        let of = |service: &str, name: &str| {
            let deployment = get(&shop, "Deployment", &format!("demo-{service}"));
            value(deployment.pointer("/spec/template").unwrap(), name)
        };
        assert_eq!(of("cart", env::PAYMENT_PROVIDERS), None);
        let test = of("payment", env::PAYMENT_TEST_PROVIDER).expect("payment always has it");
        (test, of("order", env::PAYMENT_PROVIDERS))
    };
    // As the API server stores a Shop that says nothing of it.
    let stored = || json!({ "testProvider": true, "allowTestProviderBesideStripe": false });
    let allowed =
        |test: bool| json!({ "testProvider": test, "allowTestProviderBesideStripe": true });
    let expected =
        |test: &str, providers: Option<&str>| (test.to_owned(), providers.map(str::to_owned));
    assert_eq!(environment(stored(), false), expected("true", None));
    assert_eq!(environment(stored(), true), expected("false", Some("stripe")));
    assert_eq!(
        environment(json!({ "testProvider": false }), true),
        expected("false", Some("stripe"))
    );
    assert_eq!(environment(allowed(true), true), expected("true", Some("test,stripe")));
    assert_eq!(environment(allowed(false), true), expected("false", Some("stripe")));
    assert_eq!(environment(allowed(true), false), expected("true", None));
}

#[test]
fn order_alone_knows_limits_that_are_not_the_defaults() {
    const NAMES: [&str; 3] = [env::OPEN_ORDERS, env::OPEN_UNITS, env::SECOND_STEP_SECONDS];
    let variables = |limits: Value| {
        let shop = validated(json!({ "limits": limits }));
        for (owner, template) in templates(&objects(&shop)) {
            let has_some = NAMES.iter().any(|name| value(&template, name).is_some());
            assert!(owner.contains(" demo-order") || !has_some, "{owner}");
        }
        let order = get(&shop, "Deployment", "demo-order");
        let template = order.pointer("/spec/template").unwrap();
        NAMES.map(|name| value(template, name).unwrap_or_default())
    };
    assert_eq!(variables(json!({})), ["", "", ""]);
    // As the API server stores a Shop that says nothing of it.
    let stored = json!({ "openOrders": 3, "openUnits": 10_000, "secondStepSeconds": 600 });
    assert_eq!(variables(stored), ["", "", ""]);
    assert_eq!(variables(json!({ "openUnits": 50 })), ["", "50", ""]);
    let all = json!({ "openOrders": 1, "openUnits": 20_000, "secondStepSeconds": 120 });
    assert_eq!(variables(all), ["1", "20000", "120"]);
}

#[test]
fn catalog_alone_knows_a_search_language_that_is_not_the_default() {
    for (search, expected) in [
        (json!({}), None),
        (json!({ "language": "english" }), None),
        (json!({ "language": "german" }), Some("german")),
    ] {
        for (owner, template) in templates(&objects(&validated(json!({ "search": search })))) {
            let expected = expected.filter(|_| owner.contains(" demo-catalog"));
            assert_eq!(value(&template, env::SEARCH_LANGUAGE).as_deref(), expected, "{owner}");
        }
    }
}

#[test]
fn only_notification_has_the_token_for_short_messages() {
    let token = Secret {
        metadata: ObjectMeta { name: Some("sms".into()), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([("token".into(), "t".into())])),
        ..Secret::default()
    };
    let url = "http://sms.test:21113/messages";
    let spec = json!({ "sms": { "url": url, "tokenSecretRef": { "name": "sms" } } });
    let judged = |secrets: &[Secret]| validate(&shop(spec.clone()), &observed(secrets), &config());
    assert_eq!(judged(&[]).unwrap_err()[0].path, "spec.sms.tokenSecretRef.name");
    let texting = judged(&[token]).unwrap();
    for (owner, template) in templates(&objects(&texting)) {
        let notification = owner.contains(" demo-notification");
        assert_eq!(template.to_string().contains(env::SMS_TOKEN), notification, "{owner}");
        let expected = notification.then_some(url);
        assert_eq!(value(&template, env::SMS_URL).as_deref(), expected, "{owner}");
    }
    for (service, expected) in [("notification", true), ("order", false)] {
        let policy = get(&texting, "NetworkPolicy", &format!("demo-{service}"));
        assert_eq!(policy["spec"]["egress"].to_string().contains("21113"), expected, "{service}");
    }
    for (owner, template) in templates(&objects(&validated(json!({})))) {
        assert!(!template.to_string().contains(env::SMS_URL), "{owner}");
    }
}

#[test]
fn staff_are_written_to_at_their_address_or_the_first_administrators() {
    let staff = |spec: Value| -> Vec<(String, Value)> {
        let of = |(owner, template): (String, Value)| {
            let variables = template.pointer("/spec/containers/0/env")?.as_array()?;
            let found = variables.iter().find(|variable| variable["name"] == env::STAFF_EMAIL)?;
            Some((owner, found.clone()))
        };
        templates(&objects(&validated(spec))).into_iter().filter_map(of).collect()
    };
    let named = staff(json!({ "staffEmail": "staff@example.com" }));
    assert_eq!(named[0].1["value"], "staff@example.com");
    let default = staff(json!({}));
    let reference = &default[0].1["valueFrom"]["secretKeyRef"];
    assert_eq!((&reference["name"], &reference["key"]), (&json!("demo-admin"), &json!("email")));
    for owners in [named, default] {
        assert!(owners.iter().all(|(owner, _)| owner.contains(" demo-notification")), "{owners:?}");
    }
}

#[test]
fn only_notification_has_the_countries_of_short_messages() {
    let sms = |more: Value| {
        let mut sms = json!({ "url": "https://sms.test", "tokenSecretRef": { "name": "sms" } });
        sms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = Secret {
            metadata: ObjectMeta { name: Some("sms".into()), ..ObjectMeta::default() },
            string_data: Some(BTreeMap::from([("token".into(), "t".into())])),
            ..Secret::default()
        };
        validate(&shop(json!({ "sms": sms })), &observed(&[token]), &config()).unwrap()
    };
    for (owner, template) in templates(&objects(&sms(json!({ "countries": ["+49", "+1876"] })))) {
        let expected = owner.contains(" demo-notification").then_some("+49,+1876");
        assert_eq!(value(&template, env::SMS_COUNTRIES).as_deref(), expected, "{owner}");
    }
    // Absent, not empty: that means all.
    for (owner, template) in templates(&objects(&sms(json!({})))) {
        assert!(!template.to_string().contains(env::SMS_COUNTRIES), "{owner}");
    }
}

#[test]
fn keys_have_a_prefix_in_a_redis_that_others_may_use() {
    let prefix = |namespace: &str, cache: Value| {
        let redis = Secret {
            metadata: ObjectMeta { name: Some("redis".into()), ..ObjectMeta::default() },
            string_data: Some(BTreeMap::from([("url".into(), "redis://redis".into())])),
            ..Secret::default()
        };
        let mut shop = shop(json!({ "cache": cache }));
        shop.metadata.namespace = Some(namespace.into());
        let shop = validate(&shop, &observed(&[redis]), &config()).unwrap();
        let cart = get(&shop, "Deployment", "demo-cart");
        value(cart.pointer("/spec/template").unwrap(), env::REDIS_KEY_PREFIX)
    };
    let external = |more: Value| {
        let mut external = json!({ "secretRef": { "name": "redis" } });
        external.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "external": external })
    };
    assert_eq!(prefix("a", json!({ "bundled": {} })), None);
    assert_eq!(prefix("a", external(json!({}))).as_deref(), Some("a.demo:"));
    assert_eq!(prefix("b", external(json!({}))).as_deref(), Some("b.demo:"));
    assert_eq!(prefix("b", external(json!({ "keyPrefix": "x:" }))).as_deref(), Some("x:"));
    assert_eq!(prefix("b", external(json!({ "keyPrefix": "" }))), None, "it is this shop's alone");
}

#[test]
fn only_the_catalog_knows_the_object_store_and_names_its_objects_by_the_shop_in_one_of_others() {
    let keys = Secret {
        metadata: ObjectMeta { name: Some("s3".into()), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([
            ("id".into(), "AKIA".into()),
            ("secretKey".into(), "secret".into()),
        ])),
        ..Secret::default()
    };
    let external = json!({ "external": {
        "endpoint": "https://s3.example.com", "bucket": "images",
        "secretRef": { "name": "s3", "accessKeyKey": "id" },
    } });
    for (store, expected) in [
        (
            json!({ "bundled": {} }),
            ["http://demo-objects.shops.svc.cluster.local:9000", "shop", ""],
        ),
        (external, ["https://s3.example.com", "images", "shops.demo/"]),
    ] {
        let shop = shop(json!({ "objectStore": store, "demoData": true }));
        let shop = validate(&shop, &observed(std::slice::from_ref(&keys)), &config()).unwrap();
        for (owner, template) in templates(&objects(&shop)) {
            let is_catalog = template["metadata"]["labels"][names::SERVICE_LABEL] == "catalog";
            assert_eq!(template.to_string().contains("OBJECT_STORE"), is_catalog, "{owner}");
            if is_catalog {
                let told =
                    [env::OBJECT_STORE_URL, env::OBJECT_STORE_BUCKET, env::OBJECT_STORE_KEY_PREFIX];
                let told = told.map(|name| value(&template, name).unwrap_or_default());
                assert_eq!(told, expected, "{owner}");
            }
        }
    }
}
