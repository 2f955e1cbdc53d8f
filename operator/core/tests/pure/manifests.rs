//! Every file in `manifests/` goes through the real pipeline; its outcome is a snapshot. Mended by
//! `make generate`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use operator_core::role::Role;
use operator_core::{
    build::{credentials, databases, desired, topics},
    crd::Shop,
    names,
    validate::{ValidatedShop, referenced_secrets, validate},
};
use serde_json::{Value, json};

use crate::{
    crd::{of_kubernetes, visit},
    support::{config, documents, hashes, observed, schema, stored, yaml_files},
};

#[test]
fn every_manifest_builds_what_its_snapshot_says() {
    for (name, yaml) in yaml_files("manifests") {
        for (shop, secrets) in shops(&yaml) {
            let shop = validate(&shop, &observed(&secrets), &config())
                .unwrap_or_else(|errors| panic!("{name}: {errors:#?}"));
            insta::assert_yaml_snapshot!(name.clone(), outcome(&shop));
        }
    }
}

#[test]
fn a_manifest_has_exactly_the_secrets_that_its_shop_refers_to() {
    for (name, yaml) in yaml_files("manifests") {
        for (shop, secrets) in shops(&yaml) {
            let there: BTreeSet<_> =
                secrets.iter().filter_map(|secret| secret.metadata.name.clone()).collect();
            assert_eq!(referenced_secrets(&shop.spec), there, "{name}");
        }
    }
}

#[test]
fn every_field_is_shown_in_some_manifest() {
    let mut shown = BTreeSet::new();
    for yaml in yaml_files("manifests").values() {
        for document in documents(yaml) {
            note("spec", &document["spec"], &mut shown);
        }
    }
    // Scheduling and variables have the same fields everywhere.
    let fields = schema()["properties"]["spec"]["properties"]["scheduling"]["properties"].clone();
    let of_scheduling = |path: &str| {
        let name = path.rsplit('.').next().unwrap_or_default();
        let elsewhere = path.replace("spec.services[].env[]", "spec.env[]");
        shown.contains(&elsewhere)
            || fields.get(name).is_some() && shown.contains(&format!("spec.scheduling.{name}"))
    };
    let mut missing = Vec::new();
    visit("spec", &schema()["properties"]["spec"], &mut |path, _| {
        if !shown.contains(path) && !of_kubernetes(path) && !of_scheduling(path) {
            missing.push(path.to_owned());
        }
    });
    assert!(missing.is_empty(), "no manifest has {missing:#?}");
}

/// The Shops of a file, each with the Secrets of that file.
fn shops(yaml: &str) -> Vec<(Shop, Vec<Secret>)> {
    let (shops, others): (Vec<_>, Vec<_>) =
        documents(yaml).into_iter().partition(|document| document["kind"] == "Shop");
    let secrets: Vec<Secret> = others
        .into_iter()
        .map(|document| serde_json::from_value(document).expect("the document is a Secret"))
        .collect();
    shops.into_iter().map(|shop| (stored(shop), secrets.clone())).collect()
}

/// Paths of everything in a value.
fn note(path: &str, value: &Value, paths: &mut BTreeSet<String>) {
    paths.insert(path.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| note(&format!("{path}.{name}"), field, paths));
        }
        Value::Array(items) => items.iter().for_each(|i| note(&format!("{path}[]"), i, paths)),
        _ => {}
    }
}

/// Everything that is made of a shop, as a reader wants to see it.
fn outcome(shop: &ValidatedShop) -> Value {
    let mut stages: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (stage, object) in desired(shop, &hashes(shop)).iter() {
        let mut body = serde_json::to_value(&object.body).expect("an object is JSON");
        leave_out_what_all_have(&mut body, &shop.name);
        stages.entry(format!("{} {stage:?}", stage as u8)).or_default().push(body);
    }
    let credentials: Vec<_> = credentials(shop)
        .into_iter()
        .map(|secret| format!("{} {:?}", secret.name, secret.kind))
        .collect();
    let topics = topics(shop);
    json!({
        "url": shop.url,
        "credentials": credentials,
        "databases": databases(shop).databases.iter().map(|d| format!("{d:?}")).collect::<Vec<_>>(),
        "brokers": topics.bootstrap_servers,
        "topics": topics.topics.iter().map(|t| format!("{t:?}")).collect::<Vec<_>>(),
        "objects": stages,
    })
}

/// Other tests see to namespace, owner and standard labels; here they would only bury the rest.
fn leave_out_what_all_have(object: &mut Value, shop: &str) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    metadata.remove("namespace");
    metadata.remove("ownerReferences");
    let standard = names::object_labels(shop, Role::Shop);
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.retain(|label, _| label == names::COMPONENT_LABEL || !standard.contains_key(label));
    }
}
