//! What of a live object the operator itself has set: its last apply, read back.

use serde_json::{Map, Value};

/// The part of `live` under `path` that is owned as `owned` records it; nothing if none of it is.
pub(super) fn part(live: &Value, owned: &Value, path: &[&str]) -> Option<Value> {
    let Some((field, rest)) = path.split_first() else { return Some(value(live, owned)) };
    part(live.get(field)?, owned.get(format!("f:{field}"))?, rest)
}

fn value(live: &Value, owned: &Value) -> Value {
    let children = owned.as_object().filter(|children| !children.is_empty());
    match (live, children) {
        (Value::Object(live), Some(owned)) => object(live, owned),
        (Value::Array(live), Some(owned)) => list(live, owned),
        // Owned as a whole.
        _ => live.clone(),
    }
}

fn object(live: &Map<String, Value>, owned: &Map<String, Value>) -> Value {
    let field = |(path, owned): (&String, &Value)| {
        let field = path.strip_prefix("f:")?;
        Some((field.to_owned(), value(live.get(field)?, owned)))
    };
    owned.iter().filter_map(field).collect()
}

/// A list that is a map (`k:{"name":"app"}`) or a set (`v:"a"`), in the order of the live one.
fn list(live: &[Value], owned: &Map<String, Value>) -> Value {
    let of = |element: &Value| {
        owned.iter().find_map(|(path, owned)| {
            let (_, key) = path.split_once(':')?;
            let key: Value = serde_json::from_str(key).ok()?;
            is_at(element, &key).then_some(owned)
        })
    };
    live.iter().filter_map(|element| Some(value(element, of(element)?))).collect()
}

fn is_at(element: &Value, key: &Value) -> bool {
    match key {
        Value::Object(key) => key.iter().all(|(field, value)| element.get(field) == Some(value)),
        _ => element == key,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_owned_is_read_back() {
        let live = json!({ "spec": { "replicas": 3, "template": {
            "metadata": { "labels": { "a": "1", "theirs": "2" } },
            "spec": { "restartPolicy": "Always", "containers": [
                { "name": "sidecar", "image": "s" },
                { "name": "app", "image": "i:1", "args": ["serve"], "imagePullPolicy": "Always",
                  "ports": [{ "containerPort": 8080, "protocol": "TCP" }] },
            ] },
        } } });
        let owned = json!({ "f:spec": { "f:template": {
            "f:metadata": { "f:labels": { "f:a": {} } },
            "f:spec": { "f:containers": { "k:{\"name\":\"app\"}": {
                ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                "f:ports": { "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": {
                    ".": {}, "f:containerPort": {},
                } },
            } } },
        } } });
        let expected = json!({
            "metadata": { "labels": { "a": "1" } },
            "spec": { "containers": [{
                "name": "app", "image": "i:1", "args": ["serve"], "ports": [{ "containerPort": 8080 }],
            }] },
        });
        assert_eq!(part(&live, &owned, &["spec", "template"]), Some(expected));
        assert_eq!(part(&live, &owned, &["spec", "replicas"]), None);
    }
}
