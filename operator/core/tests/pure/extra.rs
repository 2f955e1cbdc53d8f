//! Environment variables that the spec passes on.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use operator_core::names;
use operator_core::validate::{FieldErrorReason, validate};
use serde_json::{Value, json};

use crate::build::{get, objects, templates};
use crate::support::{config, documents, judged, observed, shop, stored, validated, yaml_files};

/// The variables of a pod's only container, by name.
fn variables(template: &Value) -> BTreeMap<String, Value> {
    let variables = template.pointer("/spec/containers/0/env").and_then(Value::as_array);
    let named = variables.into_iter().flatten().map(|variable| {
        (variable["name"].as_str().unwrap_or_default().to_owned(), variable.clone())
    });
    named.collect()
}

#[test]
fn services_and_jobs_have_the_variables_of_the_shop_and_of_their_service() {
    let variable = |value: &str| json!({ "name": "TEAM", "value": value });
    let shop = validated(json!({
        "demoData": true, "backup": {}, "env": [variable("shop")],
        "services": [{ "name": "order", "env": [variable("orders"), { "name": "A", "value": "$(TEAM)" }] }],
    }));
    let mut with = 0;
    for (owner, template) in templates(&objects(&shop)) {
        let labels = &template["metadata"]["labels"];
        let service = labels[names::SERVICE_LABEL].as_str();
        let found = variables(&template);
        let team = match service {
            Some("order") => Some(variable("orders")),
            Some(_) => Some(variable("shop")),
            None if labels[names::COMPONENT_LABEL] == "backup" => Some(variable("shop")),
            None => None,
        };
        assert_eq!(found.get("TEAM"), team.as_ref(), "{owner}");
        assert_eq!(found.contains_key("A"), service == Some("order"), "{owner}");
        with += usize::from(team.is_some());
        let all = template.pointer("/spec/containers/0/env").and_then(Value::as_array);
        assert_eq!(found.len(), all.map_or(0, Vec::len), "{owner}: a name is there twice");
    }
    assert_eq!(with, 9 + 7 + 3 + 1, "services, migrations, demo data, backups");
}

#[test]
fn no_variable_of_the_operators_own_can_be_set() {
    let mut own = BTreeMap::new();
    for yaml in yaml_files("manifests").values() {
        let (shops, secrets): (Vec<_>, Vec<_>) =
            documents(yaml).into_iter().partition(|document| document["kind"] == "Shop");
        let secrets: Vec<Secret> =
            secrets.into_iter().filter_map(|secret| serde_json::from_value(secret).ok()).collect();
        for mut shop in shops {
            shop["spec"]["env"] = json!([]);
            let services = shop.pointer_mut("/spec/services").and_then(Value::as_array_mut);
            services.into_iter().flatten().for_each(|service| service["env"] = json!([]));
            // Without these proxies another variable is set.
            if let Some(gateway) = shop.pointer_mut("/spec/gateway").and_then(Value::as_object_mut)
            {
                let names_proxies = gateway.contains_key("corsAllowedOrigins");
                gateway.retain(|field, _| field != "trustedProxies" || names_proxies);
            }
            let shop = validate(&stored(shop), &observed(&secrets), &config());
            for (owner, template) in templates(&objects(&shop.expect("it is valid"))) {
                let engine = owner.starts_with("StatefulSet") || owner.ends_with("-mail");
                own.extend((!engine).then(|| variables(&template)).into_iter().flatten());
            }
        }
    }
    assert!(own.len() > 60, "{}", own.len());
    for name in own.into_keys() {
        for (spec, path) in [
            (json!({ "env": [{ "name": name, "value": "a" }] }), "spec.env[0].name"),
            (
                json!({ "services": [{ "name": "cart", "env": [{ "name": name, "value": "a" }] }] }),
                "spec.services[0].env[0].name",
            ),
        ] {
            let errors = judged(spec).expect_err(&name);
            assert_eq!(errors[0].path, path, "{name}");
            assert!(errors[0].message.contains("set by the operator"), "{}", errors[0].message);
        }
    }
}

#[test]
fn a_proxy_is_not_asked_for_what_is_in_the_cluster_and_may_be_reached() {
    let direct = "localhost,127.0.0.1,::1,.svc,.cluster.local";
    let env = |env: Value| {
        let shop = validated(json!({ "env": env, "backup": {} }));
        let of = |kind: &str, name: &str, template: &str| {
            let object = get(&shop, kind, name);
            let found = variables(object.pointer(template).expect("it has pods"));
            found
                .get("NO_PROXY")
                .map(|variable| variable["value"].as_str().unwrap_or("").to_owned())
        };
        let backup = of("CronJob", "demo-backup", "/spec/jobTemplate/spec/template");
        let order = of("Deployment", "demo-order", "/spec/template");
        assert_eq!(order, backup);
        let opens = |policy: &str| {
            let policy = get(&shop, "NetworkPolicy", policy);
            let rules = policy["spec"]["egress"].as_array().cloned().unwrap_or_default();
            rules.iter().any(|rule| rule["ports"][0]["port"] == 3128 && rule["to"].is_null())
        };
        assert_eq!(opens("demo-order"), opens("demo-backup"));
        (order, opens("demo-order"))
    };
    let proxy = |name: &str, url: &str| json!({ "name": name, "value": url });
    let some = |hosts: &str| Some(hosts.to_owned());
    assert_eq!(env(json!([])), (None, false));
    assert_eq!(env(json!([proxy("NO_PROXY", "a")])), (some("a"), false));
    for url in ["http://proxy:3128", "proxy:3128", "http://user:password@proxy.example.com:3128/"] {
        assert_eq!(env(json!([proxy("https_proxy", url)])), (some(direct), true), "{url}");
    }
    let asked = json!([proxy("NO_PROXY", "10.0.0.0/8"), proxy("HTTP_PROXY", "http://proxy:3128")]);
    assert_eq!(env(asked), (Some(format!("10.0.0.0/8,{direct}")), true));
}

#[test]
fn a_secret_of_a_variable_must_be_there_and_restarts_pods() {
    let variable = |optional: bool| {
        let key = json!({ "name": "token", "key": "value", "optional": optional });
        json!({ "services": [{ "name": "order", "env": [
            { "name": "TOKEN", "valueFrom": { "secretKeyRef": key } },
        ] }] })
    };
    let errors = judged(variable(false)).expect_err("there is no Secret");
    let path = "spec.services[0].env[0].valueFrom.secretKeyRef.name";
    assert_eq!(
        (errors[0].path.as_str(), errors[0].reason),
        (path, FieldErrorReason::SecretMissing)
    );
    let token = Secret {
        metadata: ObjectMeta { name: Some("token".into()), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([("value".into(), "a".into())])),
        ..Secret::default()
    };
    let pods = |optional, hash: Option<&str>| {
        let mut there = observed(&[]);
        if let Some(hash) = hash {
            there = observed(std::slice::from_ref(&token));
            for facts in there.secrets.values_mut() {
                facts.hash = hash.to_owned();
            }
        }
        let shop = validate(&shop(variable(optional)), &there, &config()).expect("it is valid");
        templates(&objects(&shop))
    };
    for (before, after) in [
        (pods(false, Some("a")), pods(false, Some("b"))),
        (pods(true, None), pods(true, Some("a"))),
    ] {
        let pairs =
            before.into_iter().zip(after).filter(|((owner, _), _)| !owner.starts_with("Job"));
        let restarted: Vec<_> =
            pairs.filter(|(before, after)| before != after).map(|((owner, _), _)| owner).collect();
        assert_eq!(restarted, ["Deployment demo-order"]);
    }
}
