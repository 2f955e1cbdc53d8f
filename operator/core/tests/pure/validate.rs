//! What validation refuses, and what it resolves.

use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use operator_core::{
    crd::ServiceName,
    validate::{FieldErrorReason, MailEngine, MissingApi, Observed, SecretFacts, validate},
};
use serde_json::{Value, json};

use crate::{
    build::{objects, templates},
    support::{config, documents, judged, observed, schema, shop, stored, validated, yaml_files},
};

#[test]
fn errors_name_the_field() {
    let kafka = |security: Value| json!({ "events": { "external": { "bootstrapServers": ["kafka:9092"], "security": security } } });
    let services = |service: Value| json!({ "services": [{ "name": "user" }, service] });
    let cases = [
        (json!({ "database": {} }), "spec.database"),
        (json!({ "cache": {} }), "spec.cache"),
        (json!({ "events": {} }), "spec.events"),
        (json!({ "gateway": { "ingress": {} } }), "spec.host"),
        (
            json!({ "gateway": { "trustedProxies": ["10.0.0.0/8", "10.0.0.0/33"] } }),
            "spec.gateway.trustedProxies[1]",
        ),
        (json!({ "topics": { "replicationFactor": 3 } }), "spec.topics.replicationFactor"),
        (
            json!({ "events": { "external": { "bootstrapServers": ["a:1", "b:70000"] } } }),
            "spec.events.external.bootstrapServers[1]",
        ),
        (
            kafka(json!({ "protocol": "SASL_SSL", "mechanism": "PLAIN" })),
            "spec.events.external.security.secretRef",
        ),
        (kafka(json!({ "mechanism": "PLAIN" })), "spec.events.external.security.mechanism"),
        (services(json!({ "name": "user" })), "spec.services[1].name"),
        (services(json!({ "name": "order", "enabled": false })), "spec.services[1].enabled"),
        (
            services(
                json!({ "name": "order", "replicas": 1, "autoscaling": { "maxReplicas": 2 } }),
            ),
            "spec.services[1].replicas",
        ),
        (
            services(
                json!({ "name": "order", "autoscaling": { "minReplicas": 3, "maxReplicas": 2 } }),
            ),
            "spec.services[1].autoscaling.minReplicas",
        ),
        (
            services(json!({
                "name": "order",
                "autoscaling": { "maxReplicas": 2 },
                "resources": { "requests": { "memory": "1Gi" } },
            })),
            "spec.services[1].resources.requests.cpu",
        ),
        (
            services(json!({
                "name": "order",
                "resources": { "requests": { "memory": "1Gi" }, "limits": { "memory": "1G" } },
            })),
            "spec.services[1].resources.requests.memory",
        ),
        (
            services(json!({ "name": "order", "rollout": { "strategy": "Canary", "canary": {
                "steps": [{ "weight": 10 }, { "weight": 50 }, { "weight": 40 }],
            } } })),
            "spec.services[1].rollout.canary.steps[2].weight",
        ),
        (
            services(json!({ "name": "gateway", "rollout": { "strategy": "BlueGreen" } })),
            "spec.services[1].rollout.strategy",
        ),
        (
            json!({ "cache": { "bundled": { "resources": {
                "requests": { "cpu": 2 }, "limits": { "cpu": "1500m" },
            } } } }),
            "spec.cache.bundled.resources.requests.cpu",
        ),
    ];
    for (spec, path) in cases {
        let errors = judged(spec).expect_err(path);
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, [path]);
        assert_eq!(errors[0].reason, FieldErrorReason::InvalidSpec);
    }
}

#[test]
fn every_error_is_told_at_once() {
    let errors = judged(json!({
        "cache": {},
        "gateway": { "httpRoute": { "parentRefs": [{ "name": "public" }] } },
        "mail": { "external": { "secretRef": { "name": "smtp" }, "from": "a@example.com" } },
        "services": [{ "name": "cart", "enabled": false }],
    }))
    .unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    let expected = [
        "spec.cache",
        "spec.host",
        "spec.mail.external.secretRef.name",
        "spec.services[0].enabled",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn mail_may_be_exchanged_but_is_one_or_the_other() {
    let smtp = json!({ "secretRef": { "name": "smtp" }, "from": "a@example.com" });
    let mut there = observed(&[]);
    let facts = SecretFacts {
        keys: ["url".to_owned()].into(),
        hash: "abc".into(),
        ..SecretFacts::default()
    };
    there.secrets.insert("smtp".into(), facts);
    let mail = |mail: Value| validate(&shop(json!({ "mail": mail })), &there, &config());
    assert_eq!(mail(json!({})).unwrap().mail, mail(json!({ "bundled": {} })).unwrap().mail);
    assert!(matches!(
        mail(json!({ "external": smtp })).unwrap().mail,
        MailEngine::External { port: 465, .. }
    ));
    let errors = mail(json!({ "bundled": {}, "external": smtp })).unwrap_err();
    assert_eq!(errors[0].path, "spec.mail");
}

#[test]
fn a_sender_that_no_mail_can_have_is_refused() {
    let judged = |spec: Value| {
        let mut there = observed(&[]);
        let facts = SecretFacts {
            keys: ["url".to_owned()].into(),
            hash: "abc".into(),
            ..SecretFacts::default()
        };
        there.secrets.insert("smtp".into(), facts);
        validate(&shop(spec), &there, &config())
    };
    let from = |from: &str| {
        judged(json!({ "mail": { "external": { "secretRef": { "name": "smtp" }, "from": from } } }))
    };
    let errors = from("Müller, Söhne & Co. (Shop) <shop@example.com>").unwrap_err();
    assert_eq!(errors[0].path, "spec.mail.external.from");
    assert!(errors[0].message.contains("in double quotes"), "{}", errors[0].message);
    from("\"Müller, Söhne & Co. (Shop)\" <shop@example.com>").unwrap();
    // The bundled server's sender is made of the host.
    let host = format!("{}.example", "a".repeat(64));
    assert_eq!(judged(json!({ "host": host })).unwrap_err()[0].path, "spec.host");
    judged(json!({ "host": "a.example" })).unwrap();
    // The schema knows no more of an address than its `@`.
    for text in ["staff@exa..mple", "Staff <staff@example.com>"] {
        let staff = judged(json!({ "staffEmail": text })).unwrap_err();
        assert_eq!(staff[0].path, "spec.staffEmail", "{text}");
    }
    for text in ["staff@example.com", "staff@müller.example"] {
        judged(json!({ "staffEmail": text })).unwrap();
    }
}

#[test]
fn a_currency_is_one_that_every_service_knows() {
    let currencies = contracts::Currency::all();
    for currency in &currencies {
        let shop = validated(json!({ "currency": currency }));
        for (owner, template) in templates(&objects(&shop)) {
            let container = &template["spec"]["containers"][0];
            let variables = container["env"].as_array().into_iter().flatten();
            let currencies =
                variables.filter(|variable| variable["name"] == contracts::env::CURRENCY);
            for variable in currencies {
                let read = variable["value"].as_str().unwrap().parse();
                assert_eq!(read.as_ref(), Ok(currency), "{owner}");
            }
        }
    }
    let listed = &schema()["properties"]["spec"]["properties"]["currency"]["enum"];
    assert_eq!(*listed, json!(currencies), "the API server refuses all others");
    for unknown in ["ABC", "XXX", "eur"] {
        let errors = judged(json!({ "currency": unknown })).unwrap_err();
        assert_eq!(errors[0].path, "spec.currency");
        assert!(errors[0].message.contains(unknown), "{}", errors[0].message);
    }
}

#[test]
fn a_secret_must_have_its_keys() {
    let spec = json!({ "database": { "external": {
        "host": "db.example.com", "adminSecretRef": { "name": "db", "passwordKey": "secret" },
    } } });
    let errors = judged(spec.clone()).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "spec.database.external.adminSecretRef.name: there is no Secret `db` in the shop's namespace"
    );
    assert_eq!(errors[0].reason, FieldErrorReason::SecretMissing);

    let mut there = observed(&[]);
    let facts = |keys: [&str; 2]| SecretFacts {
        keys: keys.map(str::to_owned).into(),
        hash: "abc".into(),
        ..SecretFacts::default()
    };
    there.secrets.insert("db".into(), facts(["username", "password"]));
    let errors = validate(&shop(spec.clone()), &there, &config()).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "spec.database.external.adminSecretRef.passwordKey: the Secret `db` has no key `secret`"
    );

    there.secrets.insert("db".into(), facts(["username", "secret"]));
    assert!(validate(&shop(spec), &there, &config()).is_ok());
}

/// Each key of each Secret of a manifest, as `echo` would have written it.
#[test]
fn a_line_break_in_any_referenced_secret_is_refused() {
    let yaml = yaml_files("manifests").remove("shop-external").expect("it is there");
    let (shops, secrets): (Vec<_>, Vec<_>) =
        documents(&yaml).into_iter().partition(|document| document["kind"] == "Shop");
    let shop = stored(shops[0].clone());
    let secrets: Vec<Secret> = secrets
        .into_iter()
        .map(|secret| serde_json::from_value(secret).expect("it is a Secret"))
        .collect();
    let mut refused = 0;
    for (i, secret) in secrets.iter().enumerate() {
        let name = secret.metadata.name.clone().unwrap_or_default();
        for (key, value) in secret.string_data.iter().flatten() {
            let mut secrets = secrets.clone();
            let content = secrets[i].string_data.get_or_insert_default();
            content.insert(key.clone(), format!("{value}\n"));
            let verdict = validate(&shop, &observed(&secrets), &config());
            // A variable of the user's may be anything.
            if name == "proxy" {
                assert!(verdict.is_ok(), "{key}");
                continue;
            }
            let errors = verdict.expect_err(key);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_eq!(errors[0].reason, FieldErrorReason::SecretInvalid);
            let what = format!("the key `{key}` of the Secret `{name}` has a line break");
            assert!(errors[0].message.starts_with(&what), "{what}: {}", errors[0].message);
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_value_of_a_secret_is_one_line() {
    let redis = |value: &str| Secret {
        metadata: ObjectMeta { name: Some("redis".into()), ..ObjectMeta::default() },
        string_data: Some(
            [("url", value), ("other", "a\nb")].map(|(k, v)| (k.into(), v.into())).into(),
        ),
        ..Secret::default()
    };
    let spec = json!({ "cache": { "external": { "secretRef": { "name": "redis" } } } });
    for (value, fits) in [
        ("redis://redis", true),
        ("redis://:pass word@redis ", true),
        ("redis://redis\r\n", false),
        ("\tredis://redis", false),
        ("redis://re\ndis", false),
        ("redis://\u{0}redis", false),
    ] {
        let verdict = validate(&shop(spec.clone()), &observed(&[redis(value)]), &config());
        let errors = verdict.err().unwrap_or_default();
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        let expected: &[&str] = if fits { &[] } else { &["spec.cache.external.secretRef.key"] };
        assert_eq!(paths, expected, "{value:?}");
    }
}

#[test]
fn the_url_is_where_shoppers_come_in() {
    let route = |tls: bool| json!({ "parentRefs": [{ "name": "public" }], "tls": tls });
    let cases = [
        (json!({}), "http://demo-gateway.shops.svc"),
        (json!({ "host": "a.example" }), "http://a.example"),
        (json!({ "host": "a.example", "gateway": { "ingress": {} } }), "http://a.example"),
        (
            json!({ "host": "a.example", "gateway": { "ingress": { "tlsSecretName": "a" } } }),
            "https://a.example",
        ),
        (
            json!({ "host": "a.example", "gateway": { "httpRoute": route(true) } }),
            "https://a.example",
        ),
        (
            json!({ "host": "a.example", "gateway": { "httpRoute": route(false) } }),
            "http://a.example",
        ),
    ];
    for (spec, url) in cases {
        assert_eq!(validated(spec).url, url);
    }
}

#[test]
fn an_absent_api_is_told_and_harms_nothing() {
    let spec = json!({
        "host": "a.example",
        "gateway": { "httpRoute": { "parentRefs": [{ "name": "public" }] } },
    });
    let shop = validate(&shop(spec), &Observed::default(), &config()).unwrap();
    assert_eq!(shop.missing_apis, [MissingApi::ServiceMonitor, MissingApi::HttpRoute]);
    assert!(!shop.service_monitors && !shop.http_route);
}

#[test]
fn a_migration_is_due_until_the_image_has_it() {
    let due = |observed: &Observed| {
        let shop = validate(&shop(json!({ "demoData": true })), observed, &config()).unwrap();
        let order = shop.service(ServiceName::Order).unwrap().migration_due;
        let catalog = shop.service(ServiceName::Catalog).unwrap().seed_due;
        let cart = shop.service(ServiceName::Cart).unwrap().migration_due;
        (order, catalog, cart)
    };
    let mut observed = Observed::default();
    assert_eq!(due(&observed), (true, true, false), "the cart has no database");
    observed.migrated.insert(ServiceName::Order, "localhost/shop-operator/order:0.9.0".into());
    assert_eq!(due(&observed), (true, true, false));
    observed.migrated.insert(ServiceName::Order, "localhost/shop-operator/order:1.0.0".into());
    observed.seeded.insert(ServiceName::Catalog);
    assert_eq!(due(&observed), (false, false, false));
}

#[test]
fn images_come_from_the_most_specific_place() {
    let image = |spec: Value| validated(spec).service(ServiceName::Order).unwrap().image.clone();
    assert_eq!(image(json!({})), "localhost/shop-operator/order:1.0.0");
    let custom = json!({ "version": "2.0.0", "images": { "repository": "images.example/shop" } });
    assert_eq!(image(custom), "images.example/shop/order:2.0.0");
    let pinned =
        json!({ "version": "2.0.0", "services": [{ "name": "order", "image": "o@sha256:0" }] });
    assert_eq!(image(pinned), "o@sha256:0");
}

#[test]
fn a_shop_that_the_api_server_has_not_seen_is_refused() {
    let mut unknown = shop(json!({}));
    unknown.metadata.uid = None;
    unknown.metadata.namespace = None;
    let errors = validate(&unknown, &observed(&[]), &config()).unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["metadata.namespace", "metadata.uid"]);
}
