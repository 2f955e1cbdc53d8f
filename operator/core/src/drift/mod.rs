//! Tells without a write whether a server-side apply would change anything.
//!
//! The API server records in `metadata.managedFields` which fields our last apply set. It takes
//! a field from us as soon as somebody else changes or removes it. So an object needs no write
//! exactly when every field we want is ours and has our value, and nothing is ours that we no
//! longer want. The record also says how each list is keyed, which the list itself does not.
//! Reasons and alternatives: `docs/decisions/0020-apply.md`.

mod owned;

use serde_json::{Map, Value};

/// Whether applying `desired` as `manager` would leave `live` as it is.
pub fn is_applied(desired: &Value, live: &Value, manager: &str) -> bool {
    let Some(owned) = owned_fields(live, manager, &desired["apiVersion"]) else {
        return false;
    };
    let (Value::Object(desired), Value::Object(live)) = (desired, live) else {
        return false;
    };
    let (desired, live) = (without_identity(desired), without_identity(live));
    object_is_applied(&desired, &live, owned)
}

/// Whether applying `desired` under this path as `manager` would leave what is there as it is.
pub fn is_part_applied(desired: &Value, live: &Value, manager: &str, path: &[&str]) -> bool {
    let owned = owned_fields(live, manager, &live["apiVersion"]).map(|o| Value::Object(o.clone()));
    let live = path.iter().try_fold(live, |live, field| live.get(field));
    let owned = owned.as_ref().and_then(|owned| {
        path.iter().try_fold(owned, |owned, field| owned.get(format!("f:{field}")))
    });
    live.zip(owned).is_some_and(|(live, owned)| value_is_applied(desired, live, owned))
}

/// What `manager` has set under this path.
pub fn applied_part(live: &Value, manager: &str, path: &[&str]) -> Option<Value> {
    let owned = Value::Object(owned_fields(live, manager, &live["apiVersion"])?.clone());
    owned::part(live, &owned, path)
}

/// What our last apply set, or nothing if there was none in this API version.
fn owned_fields<'a>(
    live: &'a Value,
    manager: &str,
    version: &Value,
) -> Option<&'a Map<String, Value>> {
    let is_ours = |entry: &&Value| {
        entry["manager"] == manager
            && entry["operation"] == "Apply"
            && entry["apiVersion"] == *version
            && entry.get("subresource").is_none_or(|s| s == "")
    };
    let entries = live["metadata"]["managedFields"].as_array()?;
    entries.iter().find(is_ours)?["fieldsV1"].as_object()
}

/// The API server owns these itself and lists them for no manager.
fn without_identity(object: &Map<String, Value>) -> Map<String, Value> {
    let mut object = object.clone();
    object.remove("apiVersion");
    object.remove("kind");
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        for key in ["name", "namespace", "managedFields", "resourceVersion", "uid"] {
            metadata.remove(key);
        }
    }
    object
}

fn object_is_applied(
    desired: &Map<String, Value>,
    live: &Map<String, Value>,
    owned: &Map<String, Value>,
) -> bool {
    let nothing_left_over = owned.keys().all(|path| match path.strip_prefix("f:") {
        Some(field) => desired.get(field).is_some_and(|value| !value.is_null()),
        None => path == ".",
    });
    nothing_left_over
        && desired.iter().filter(|(_, value)| !value.is_null()).all(|(field, value)| {
            match (owned.get(&format!("f:{field}")), live.get(field)) {
                (Some(owned), Some(live)) => value_is_applied(value, live, owned),
                // An empty map or list in a granular field owns nothing.
                (None, _) => is_empty(value),
                (Some(_), None) => false,
            }
        })
}

fn value_is_applied(desired: &Value, live: &Value, owned: &Value) -> bool {
    let children = owned.as_object().filter(|children| !children.is_empty());
    match (desired, live, children) {
        (Value::Object(desired), Value::Object(live), Some(owned)) => {
            object_is_applied(desired, live, owned)
        }
        (Value::Array(desired), Value::Array(live), Some(owned)) => {
            list_is_applied(desired, live, owned)
        }
        _ => is_subset(desired, live),
    }
}

/// A list that is a map (`k:{"name":"app"}`) or a set (`v:"a"`).
fn list_is_applied(desired: &[Value], live: &[Value], owned: &Map<String, Value>) -> bool {
    let owned: Vec<(&str, Value, &Value)> = owned
        .iter()
        .filter(|(path, _)| *path != ".")
        .filter_map(|(path, child)| {
            let (sort, key) = path.split_once(':')?;
            Some((sort, serde_json::from_str(key).ok()?, child))
        })
        .collect();
    // Each wanted element takes one owned one; equal numbers leave none over.
    owned.len() == desired.len()
        && desired.iter().all(|element| {
            let Some((_, key, child)) = owned.iter().find(|(sort, key, _)| match *sort {
                "k" => has_key(element, key, true),
                _ => element == key,
            }) else {
                return false;
            };
            live.iter()
                .find(|candidate| has_key(candidate, key, false))
                .is_some_and(|live| value_is_applied(element, live, child))
        })
}

/// Whether `element` has the fields of `key`. What the server fills in by default, as a port's
/// protocol, may be missing in what we want (`lenient`).
fn has_key(element: &Value, key: &Value, lenient: bool) -> bool {
    match key {
        Value::Object(key) => key.iter().all(|(field, value)| match element.get(field) {
            Some(found) => found == value,
            None => lenient,
        }),
        _ => element == key,
    }
}

/// Equality but for what the server adds by default inside a field that is owned as a whole.
fn is_subset(desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => desired
            .iter()
            .filter(|(_, value)| !value.is_null())
            .all(|(field, value)| live.get(field).is_some_and(|live| is_subset(value, live))),
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() == live.len()
                && desired.iter().zip(live).all(|(desired, live)| is_subset(desired, live))
        }
        _ => desired == live,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn desired() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a", "namespace": "n", "labels": {"x": "1"}},
            "spec": {"template": {"spec": {"containers": [{
                "name": "app", "image": "i:1", "args": ["serve"],
                "ports": [{"containerPort": 8080}],
            }]}}},
        })
    }

    fn live() -> Value {
        let fields = json!({
            "f:metadata": {"f:labels": {"f:x": {}}},
            "f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {
                ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                "f:ports": {"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": {
                    ".": {}, "f:containerPort": {},
                }},
            }}}}},
        });
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "labels": {"x": "1", "theirs": "2"},
                "managedFields": [
                    {"manager": "other", "operation": "Update", "fieldsV1": {}},
                    {"manager": "us", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields},
                ],
            },
            "spec": {"replicas": 3, "template": {"spec": {"containers": [
                {"name": "sidecar", "image": "s"},
                {"name": "app", "image": "i:1", "args": ["serve"], "imagePullPolicy": "Always",
                 "ports": [{"containerPort": 8080, "protocol": "TCP"}]},
            ]}}},
        })
    }

    const CONTAINERS: &str = "/spec/template/spec/containers";

    #[test]
    fn defaults_and_foreign_fields_are_no_drift() {
        assert!(is_applied(&desired(), &live(), "us"));
        assert!(!is_applied(&desired(), &live(), "them"));
    }

    #[test]
    fn a_changed_value_is_drift() {
        for (path, value) in [
            ("/metadata/labels/x", json!("2")),
            ("/spec/template/spec/containers/1/image", json!("i:2")),
            ("/spec/template/spec/containers/1/args", json!(["serve", "more"])),
            (CONTAINERS, json!([])),
        ] {
            let mut live = live();
            *live.pointer_mut(path).unwrap() = value;
            assert!(!is_applied(&desired(), &live, "us"), "{path}");
        }
    }

    #[test]
    fn a_field_taken_from_us_is_drift_although_its_value_is_ours() {
        let mut live = live();
        let fields = &mut live["metadata"]["managedFields"][1]["fieldsV1"];
        fields.as_object_mut().unwrap().remove("f:metadata");
        assert!(!is_applied(&desired(), &live, "us"));
    }

    #[test]
    fn a_field_no_longer_wanted_is_removed() {
        let mut desired = desired();
        desired["metadata"]["labels"] = json!({});
        assert!(!is_applied(&desired, &live(), "us"));
        let mut other = self::desired();
        other
            .pointer_mut(&format!("{CONTAINERS}/0"))
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove("args");
        assert!(!is_applied(&other, &live(), "us"));
    }

    #[test]
    fn an_added_field_or_element_is_a_change() {
        let mut desired = desired();
        desired["spec"]["paused"] = json!(true);
        assert!(!is_applied(&desired, &live(), "us"));
        let mut other = self::desired();
        other.pointer_mut(CONTAINERS).unwrap().as_array_mut().unwrap().push(json!({"name": "b"}));
        assert!(!is_applied(&other, &live(), "us"));
    }
}
