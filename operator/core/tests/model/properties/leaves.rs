//! For every field of the schema: A, then B, then A again ends as A. A bad value is refused or reported, and the good one recovers.

use std::collections::BTreeSet;

use kube::core::cel::Validator;
use regex::Regex;
use serde_json::{Value, json};

use crate::objects::merge;
use crate::process::{PASSES, Process};
use crate::support::schema;
use crate::world::World;
use crate::{condition, external, settle, state};

/// Values that fit many a string.
const TEXTS: [&str; 12] = [
    "a",
    "2Gi",
    "500m",
    "100",
    "shop.example.org",
    "other:2",
    "0 5 * * *",
    "b@example.com",
    "10s",
    "0.3.0",
    "http://example.org:1",
    "10.0.0.0/8",
];

/// A field, and a value for it.
struct Change {
    path: String,
    patch: Value,
}

/// Every value that a schema suggests.
fn values(schema: &Value) -> Vec<Value> {
    if let Some(values) = schema["enum"].as_array() {
        return values.clone();
    }
    match schema["type"].as_str() {
        Some("boolean") => vec![json!(true), json!(false)],
        Some("integer") => {
            let bound = |name: &str, other: i64| schema[name].as_i64().unwrap_or(other);
            let (least, most) = (bound("minimum", 0), bound("maximum", 1000));
            BTreeSet::from([least, (least + 1).min(most), most])
                .into_iter()
                .map(Value::from)
                .collect()
        }
        Some("string") => {
            let pattern = schema["pattern"].as_str().map(|pattern| Regex::new(pattern).unwrap());
            let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
            let fits = |text: &&&str| {
                pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
                    && text.len() as u64 <= most
            };
            TEXTS.iter().filter(fits).take(2).map(|text| json!(text)).collect()
        }
        _ => Vec::new(),
    }
}

/// A value with everything that is required.
fn sample(schema: &Value) -> Option<Value> {
    if let Some(default) = schema.get("default") {
        return Some(default.clone());
    }
    if schema["type"] != "object" {
        return if schema["type"] == "array" {
            Some(json!([]))
        } else {
            values(schema).into_iter().next()
        };
    }
    let mut object = json!({});
    for field in schema["required"].as_array().into_iter().flatten() {
        let field = field.as_str()?;
        object[field] = sample(&schema["properties"][field])?;
    }
    Some(object)
}

/// Every field below a schema with every value for it, as patches.
fn changes(path: &str, schema: &Value, wrap: &dyn Fn(Value) -> Value, found: &mut Vec<Change>) {
    for value in values(schema) {
        found.push(Change { path: path.to_owned(), patch: wrap(value) });
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let inside = |value: Value| {
            let mut object = sample(schema).unwrap_or_else(|| json!({}));
            object[name] = value;
            wrap(object)
        };
        changes(&format!("{path}.{name}"), field, &inside, found);
    }
    if let Some(item) = schema.get("items") {
        changes(&format!("{path}[]"), item, &|value| wrap(json!([value])), found);
    }
    if let Some(value) = schema["additionalProperties"].as_object() {
        let inside = |value: Value| wrap(json!({ "example.com/key": value }));
        changes(&format!("{path}{{}}"), &Value::Object(value.clone()), &inside, found);
    }
}

#[test]
fn every_field_can_be_changed_and_changed_back() {
    let (schema, validator) = (schema(), Validator::new());
    let mut found = Vec::new();
    changes("spec", &schema["properties"]["spec"], &|value| value, &mut found);
    let (mut fields, mut refused, mut reported) = (BTreeSet::new(), 0, 0);
    for base in [external(&json!({})), json!({})] {
        let mut start = World::new();
        start.create(base.clone());
        settle(&mut start, &mut Process::new(0));
        let expected = state(&start);
        let object = |spec: &Value| json!({ "metadata": { "name": "demo" }, "spec": spec });
        for Change { path, patch } in &found {
            let mut spec = serde_json::to_value(&start.shop.as_ref().unwrap().spec).unwrap();
            merge(&mut spec, patch);
            let (old, new) = (object(&base), object(&spec));
            let is_valid = |new: &Value, old| validator.validate(&schema, new, Some(old)).is_ok();
            // A change that cannot be taken back is no change to come back from.
            if !is_valid(&new, &old) || !is_valid(&old, &new) {
                refused += 1;
                continue;
            }
            let (mut world, mut process) = (start.clone(), Process::new(1));
            if !world.set_spec(&spec) {
                refused += 1;
                continue;
            }
            settle(&mut world, &mut process);
            let is_degraded = |world: &World| condition(world, "Degraded").starts_with("True");
            reported += usize::from(is_degraded(&world));
            fields.insert(path.clone());
            world.set_spec(&base);
            settle(&mut world, &mut process);
            let degraded = condition(&world, "Degraded");
            assert!(degraded.starts_with("False"), "{path}: {patch}: {degraded}");
            let now = state(&world);
            for (key, value) in &expected {
                assert_eq!(now.get(key), Some(value), "{path}: {patch}: {key}");
            }
            let more: Vec<_> = now.keys().filter(|key| !expected.contains_key(*key)).collect();
            assert!(more.iter().all(|key| is_data(key)), "{path}: {patch}: {more:?}");
        }
    }
    println!(
        "A-B-A: {} fields, {} values, {refused} refused by the schema, {reported} reported; {} passes in this process",
        fields.len(),
        found.len(),
        PASSES.load(std::sync::atomic::Ordering::Relaxed),
    );
}

/// What is left when a shop does not use it any more.
fn is_data(key: &str) -> bool {
    ["secrets.", "persistentvolumeclaims.", "topic ", "database ", "configmaps./demo-topics"]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}
