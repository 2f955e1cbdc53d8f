//! What stands in the cluster while two versions of a service run.

use std::collections::BTreeMap;

use contracts::{env, weights::Weights};
use operator_core::{
    build::{RolloutPlan, RolloutPlans, template},
    crd::ServiceName,
    names,
    object::Object,
    validate::ValidatedShop,
};
use serde_json::{Value, json};

use crate::{
    build::{get, objects, templates},
    support::{hashes, objects_with, validated},
};

fn shop(version: &str) -> ValidatedShop {
    let rollout = json!({ "strategy": "Canary" });
    validated(
        json!({ "version": version, "services": [{ "name": "catalog", "rollout": rollout }] }),
    )
}

/// The new version of the catalog gets a quarter of the requests.
fn under_way() -> (ValidatedShop, RolloutPlans) {
    let old = shop("1.0.0");
    let kept = template(&old, &hashes(&old), ServiceName::Catalog);
    let plan = RolloutPlan { kept, canary: Some(2), weight: 25 };
    (shop("2.0.0"), BTreeMap::from([(ServiceName::Catalog, plan)]))
}

fn find(objects: &[Object], kind: &str, name: &str) -> Value {
    let object = objects.iter().find(|object| object.kind() == kind && object.name() == name);
    let object = object.unwrap_or_else(|| panic!("there is no {kind} {name}"));
    serde_json::to_value(&object.body).expect("an object is JSON")
}

fn weights(objects: &[Object]) -> Weights {
    let map = find(objects, "ConfigMap", "demo-weights");
    let text = map["data"]["weights.json"].as_str().expect("it is a file");
    serde_json::from_str(text).expect("it says weights")
}

const IMAGE: &str = "/spec/template/spec/containers/0/image";

#[test]
fn both_versions_run_and_the_gateway_knows_their_shares() {
    let (shop, plans) = under_way();
    let objects = objects_with(&shop, &plans);
    let old = find(&objects, "Deployment", "demo-catalog");
    let new = find(&objects, "Deployment", "demo-catalog-canary");
    assert_eq!(old.pointer(IMAGE).unwrap(), "localhost/shop-operator/catalog:1.0.0");
    assert_eq!(new.pointer(IMAGE).unwrap(), "localhost/shop-operator/catalog:2.0.0");
    assert_eq!(old["metadata"]["labels"][names::VERSION_LABEL], "1.0.0");
    assert_eq!(new["metadata"]["labels"][names::VERSION_LABEL], "2.0.0");
    assert_eq!((&old["spec"]["replicas"], &new["spec"]["replicas"]), (&json!(1), &json!(2)));
    let weights = weights(&objects);
    assert_eq!(weights.len(), 1);
    assert_eq!(weights["catalog"].percent, 25);
    let url = "http://demo-catalog-canary.shops.svc.cluster.local:8080";
    assert_eq!(weights["catalog"].url, url);
}

#[test]
fn no_service_has_pods_of_the_other_version() {
    let (shop, plans) = under_way();
    let objects = objects_with(&shop, &plans);
    let templates = templates(&objects);
    for (service, owner) in [
        ("demo-catalog", "Deployment demo-catalog"),
        ("demo-catalog-canary", "Deployment demo-catalog-canary"),
    ] {
        let service = find(&objects, "Service", service);
        let wanted = service["spec"]["selector"].as_object().unwrap().clone();
        let labels = |template: &Value| template["metadata"]["labels"].clone();
        let matches = |t: &Value| wanted.iter().all(|(k, v)| labels(t).get(k) == Some(v));
        let found: Vec<_> = templates.iter().filter(|(_, t)| matches(t)).map(|(o, _)| o).collect();
        assert_eq!(found, [owner]);
    }
}

/// The gateway may call the new pods, and the operator their admin port, by the rules that the old ones have.
#[test]
fn the_new_pods_are_under_the_rules_of_their_service() {
    let (shop, plans) = under_way();
    let objects = objects_with(&shop, &plans);
    let pod = find(&objects, "Deployment", "demo-catalog-canary");
    let labels = &pod["spec"]["template"]["metadata"]["labels"];
    for policy in ["demo-base", "demo-catalog"] {
        let policy = find(&objects, "NetworkPolicy", policy);
        let selector = policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap();
        assert!(selector.iter().all(|(key, value)| &labels[key] == value), "{selector:?}");
    }
    let base = find(&objects, "NetworkPolicy", "demo-base");
    assert_eq!(base["spec"]["ingress"][0]["from"], json!([{ "namespaceSelector": {} }]));
    assert_eq!(base["spec"]["ingress"][0]["ports"][0]["port"], contracts::ports::ADMIN);
    assert_eq!(labels[names::METRICS_LABEL], "true");
}

/// What the gateway runs must not change from step to step, or every step would restart it.
#[test]
fn the_gateway_stays_as_it_is_from_step_to_step() {
    let (shop, plans) = under_way();
    let gateway = |objects: &[Object]| find(objects, "Deployment", "demo-gateway");
    let during = gateway(&objects_with(&shop, &plans));
    assert_eq!(during, gateway(&objects(&shop)));
    let file = "/etc/shop/weights/weights.json";
    let env = during.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    assert!(env.contains(&json!({ "name": env::WEIGHTS_FILE, "value": file })));
    assert!(weights(&objects(&shop)).is_empty(), "the old versions get everything");
    let volumes = during.pointer("/spec/template/spec/volumes").unwrap().as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "weights").unwrap();
    assert_eq!(volume["configMap"], json!({ "name": "demo-weights", "optional": true }));
}

#[test]
fn a_shop_that_rolls_out_nothing_in_steps_knows_nothing_of_it() {
    for object in objects(&validated(json!({ "services": [{ "name": "catalog", "rollout": {} }] })))
    {
        let text = serde_json::to_string(&object.body).unwrap();
        for word in ["canary", "WEIGHTS", "weights", names::TEMPLATE] {
            assert!(!text.contains(word), "{} {}: {word}", object.kind(), object.name());
        }
    }
    // Nor do the other services of one that does.
    let before = templates(&objects(&validated(json!({}))));
    let after = templates(&objects(&shop("1.0.0")));
    let others = |all: Vec<(String, Value)>| {
        all.into_iter().filter(|(owner, _)| owner != "Deployment demo-gateway").collect::<Vec<_>>()
    };
    assert_eq!(others(before), others(after));
}

#[test]
fn a_new_password_is_for_pods_that_keep_their_template_too() {
    let (shop, plans) = under_way();
    let annotation = |hashes: &operator_core::build::SecretHashes| {
        let desired = operator_core::build::desired_with(&shop, hashes, &plans);
        let objects: Vec<_> = desired.iter().map(|(_, object)| object.clone()).collect();
        let deployment = find(&objects, "Deployment", "demo-catalog");
        let template = &deployment["spec"]["template"];
        let note = deployment["metadata"]["annotations"][names::TEMPLATE].clone();
        (template["metadata"]["annotations"][names::SECRETS_HASH].clone(), note)
    };
    let (before, note) = annotation(&hashes(&shop));
    let mut changed = hashes(&shop);
    changed.insert("demo-catalog-database".to_owned(), "changed".to_owned());
    let (after, same) = annotation(&changed);
    assert_ne!(before, after);
    assert_eq!(note, same, "it is no new version");
}

#[test]
fn pods_that_read_what_the_spec_no_longer_names_stay_as_they_are() {
    let (shop, plans) = under_way();
    let annotation = |without: Option<&str>| {
        let mut known = hashes(&shop);
        known.retain(|name, _| Some(name.as_str()) != without);
        let desired = operator_core::build::desired_with(&shop, &known, &plans);
        let objects: Vec<_> = desired.iter().map(|(_, object)| object.clone()).collect();
        let deployment = find(&objects, "Deployment", "demo-catalog");
        deployment["spec"]["template"]["metadata"]["annotations"].clone()
    };
    assert_eq!(annotation(None), annotation(Some("demo-redis")));
}

#[test]
fn the_address_of_a_new_version_is_there_before_it() {
    let service = get(&shop("1.0.0"), "Service", "demo-catalog-canary");
    assert_eq!(service["spec"]["type"], "ClusterIP");
}
