//! The CRD of a cluster, compared with the one that this version needs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use operator_core::crd;
use operator_core::installed::{Downgrade, VERSION_ANNOTATION, check_upgrade, gaps};
use serde_json::{Value, json};

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema/properties";

/// Our CRD after an edit, as the cluster may have it.
fn edited(edit: impl FnOnce(&mut Value)) -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(crd::definition()).expect("a CRD is JSON");
    edit(&mut crd);
    serde_json::from_value(crd).expect("it is still a CRD")
}

/// Our CRD with another value at a path of its schema; `null` removes it.
fn with(path: &str, value: Value) -> CustomResourceDefinition {
    edited(|crd| {
        let (parent, name) = path.rsplit_once('/').expect("a path of several parts");
        let parent = crd.pointer_mut(&format!("{SCHEMA}{parent}")).expect("the path exists");
        let parent = parent.as_object_mut().expect("the parent is an object");
        match value {
            Value::Null => drop(parent.remove(name)),
            value => drop(parent.insert(name.to_owned(), value)),
        }
    })
}

fn at_version(version: &str) -> CustomResourceDefinition {
    edited(|crd| crd["metadata"]["annotations"] = json!({ VERSION_ANNOTATION: version }))
}

#[test]
fn the_crd_of_this_version_has_no_gaps() {
    assert_eq!(gaps(&crd::definition(), &crd::definition()), Vec::<String>::new());
}

#[test]
fn what_an_older_crd_cannot_hold_is_named() {
    let conditions = "/status/properties/conditions";
    for (path, value, gap) in [
        ("/status/properties/rollouts", Value::Null, "status.rollouts is missing"),
        (
            &*format!("{conditions}/items/properties/message"),
            Value::Null,
            "status.conditions[].message is missing",
        ),
        (&*format!("{conditions}/maxItems"), json!(1), "status.conditions has the maxItems 1.0"),
        (
            "/status/properties/readyServices/type",
            json!("integer"),
            "status.readyServices is of type \"integer\", not \"string\"",
        ),
        ("/status/required", json!(["phase"]), "status.phase is required"),
        ("/spec/properties/host", Value::Null, "spec.host is missing"),
        (
            "/spec/properties/deletionPolicy/enum",
            json!(["Retain"]),
            "spec.deletionPolicy does not allow \"Delete\"",
        ),
        ("/spec/properties/host/maxLength", json!(9), "spec.host has the maxLength 9.0"),
        ("/spec/properties/host/pattern", json!("^a$"), "spec.host has another pattern"),
        (
            "/spec/properties/host/x-kubernetes-validations",
            json!([{ "rule": "self != ''" }]),
            "spec.host has the rule self != ''",
        ),
    ] {
        let found = gaps(&with(path, value), &crd::definition());
        let whole = |gap: &str| gap.trim_end_matches(".0").to_owned();
        let found: Vec<_> = found.iter().map(|gap| whole(gap)).collect();
        assert_eq!(found, [whole(gap)], "{path}");
    }
}

#[test]
fn a_crd_that_holds_more_has_no_gaps() {
    for (path, value) in [
        ("/status/properties/later", json!({ "type": "string" })),
        ("/spec/properties/deletionPolicy/enum", json!(["Retain", "Delete", "Archive"])),
        ("/spec/properties/host/maxLength", json!(1000)),
        ("/spec/properties/host/pattern", Value::Null),
        ("/status", json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })),
    ] {
        assert_eq!(gaps(&with(path, value), &crd::definition()), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn a_version_that_is_not_served_is_a_gap() {
    let unserved = edited(|crd| crd["spec"]["versions"][0]["served"] = json!(false));
    assert_eq!(gaps(&unserved, &crd::definition()), ["version v1alpha1 is not served"]);
    let renamed = edited(|crd| crd["spec"]["versions"][0]["name"] = json!("v1"));
    assert_eq!(gaps(&renamed, &crd::definition()), ["version v1alpha1 is not served"]);
    let plain = edited(|crd| crd["spec"]["versions"][0]["subresources"] = json!({}));
    assert_eq!(gaps(&plain, &crd::definition()), ["the subresource status is missing"]);
}

/// After `helm rollback` an older operator runs with a newer CRD. It writes the status alone.
#[test]
fn only_the_status_of_a_newer_crd_matters() {
    let newer = |path: &str| {
        let mut newer = with(path, Value::Null);
        newer.metadata.annotations = at_version("99.0.0").metadata.annotations;
        newer
    };
    assert_eq!(gaps(&newer("/spec/properties/host"), &crd::definition()), Vec::<String>::new());
    let found = gaps(&newer("/status/properties/rollouts"), &crd::definition());
    assert_eq!(found, ["status.rollouts is missing"]);
}

#[test]
fn a_crd_goes_forward_only() {
    let ours = at_version("1.10.0-rc.1");
    let unmarked = edited(|crd| crd["metadata"]["annotations"] = Value::Null);
    assert_eq!(check_upgrade(&unmarked, &ours), Ok(()), "it is older than the annotation");
    for older in ["1.10.0-rc.1", "1.10.0-rc.1+build", "1.9.0", "1.10.0-beta", "0.1.0"] {
        assert_eq!(check_upgrade(&at_version(older), &ours), Ok(()), "{older}");
    }
    for newer in ["1.10.0", "1.11.0-alpha", "2.0.0"] {
        let result = check_upgrade(&at_version(newer), &ours);
        assert!(matches!(result, Err(Downgrade::Newer { .. })), "{newer}: {result:?}");
    }
    let result = check_upgrade(&at_version("latest"), &ours);
    assert_eq!(result, Err(Downgrade::Unreadable("latest".to_owned())));
}
