//! On which nodes pods run.

use operator_core::names;
use serde_json::{Value, json};

use crate::build::{objects, templates};
use crate::support::{judged, validated};

/// A Shop with every kind of pod, and this on top.
fn pods(more: &Value) -> Vec<(String, Value)> {
    let mut spec = json!({
        "demoData": true, "backup": {},
        "restoreFrom": { "backup": "20261128T023000Z-1f3a", "shop": "before" },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    templates(&objects(&validated(spec)))
}

fn scheduling() -> Value {
    json!({
        "nodeSelector": { "pool": "shop" },
        "tolerations": [{ "key": "dedicated", "operator": "Exists" }],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "zone", "operator": "In", "values": ["a"] },
            ] }],
        } } },
        "priorityClassName": "shop",
    })
}

#[test]
fn one_field_schedules_every_pod() {
    let pods = pods(&json!({ "scheduling": scheduling() }));
    let kinds = ["Deployment", "StatefulSet", "Job demo-order-migrate", "Job demo-catalog-seed"];
    for kind in kinds.into_iter().chain(["Job demo-restore", "CronJob", "Deployment demo-mail"]) {
        assert!(pods.iter().any(|(owner, _)| owner.starts_with(kind)), "there is no {kind}");
    }
    for (owner, template) in pods {
        for (field, value) in scheduling().as_object().unwrap() {
            assert_eq!(template["spec"][field], *value, "{owner}: {field}");
        }
    }
}

#[test]
fn a_service_an_engine_and_backups_may_be_scheduled_otherwise() {
    let other = || json!({ "nodeSelector": { "pool": "other" }, "tolerations": [] });
    let mut order = other();
    order["name"] = json!("order");
    let pods = pods(&json!({
        "scheduling": scheduling(),
        "services": [order],
        "database": { "bundled": other() },
        "backup": other(),
    }));
    let mut elsewhere = Vec::new();
    for (owner, template) in pods {
        let spec = &template["spec"];
        let is_other = spec["nodeSelector"] == json!({ "pool": "other" });
        assert_eq!(spec.get("tolerations").is_none(), is_other, "{owner}: empty is not absent");
        assert_eq!(spec["priorityClassName"], "shop", "{owner}: absent");
        if is_other {
            elsewhere.push(owner.rsplit_once('-').unwrap().0.to_owned());
        }
    }
    elsewhere.sort_unstable();
    // Names of Jobs end in a hash.
    let expected =
        ["CronJob demo", "Deployment demo", "Job demo-order-migrate", "Job demo-restore"];
    assert_eq!(elsewhere, [&expected[..], &["StatefulSet demo"]].concat());
}

#[test]
fn a_constraint_without_selector_is_about_the_pods_of_its_own() {
    let constraint = |more: Value| {
        let mut constraint =
            json!({ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" });
        constraint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        constraint
    };
    let theirs = json!({ "labelSelector": { "matchLabels": { "team": "shop" } } });
    let asked = json!([constraint(json!({})), constraint(theirs.clone())]);
    let pods = pods(&json!({ "scheduling": { "topologySpreadConstraints": asked } }));
    for (owner, template) in pods {
        let found = &template["spec"]["topologySpreadConstraints"];
        if owner.contains("Job ") {
            assert!(found.is_null(), "{owner}: Jobs are not spread");
            continue;
        }
        let selector = &found[0]["labelSelector"]["matchLabels"];
        let component = &template["metadata"]["labels"][names::COMPONENT_LABEL];
        assert_eq!(selector[names::COMPONENT_LABEL], *component, "{owner}");
        let revision = if owner.contains("StatefulSet") || owner.ends_with("demo-mail") {
            None
        } else {
            Some("pod-template-hash")
        };
        assert_eq!(found[0]["matchLabelKeys"][0].as_str(), revision, "{owner}");
        assert_eq!(found[1], constraint(theirs.clone()), "{owner}");
    }
}

#[test]
fn keys_that_are_no_labels_are_refused() {
    let spread =
        json!([{ "maxSkew": 1, "topologyKey": "my zone", "whenUnsatisfiable": "ScheduleAnyway" }]);
    let errors = judged(json!({
        "scheduling": { "topologySpreadConstraints": spread },
        "cache": { "bundled": { "nodeSelector": { "Example.com/pool": "a" } } },
        "services": [{ "name": "order", "nodeSelector": { "-": "a" } }],
    }));
    let errors = errors.unwrap_err();
    let mut paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "spec.cache.bundled.nodeSelector",
        "spec.scheduling.topologySpreadConstraints[0].topologyKey",
        "spec.services[0].nodeSelector",
    ];
    assert_eq!(paths, expected);
}
