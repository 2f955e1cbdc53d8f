//! Objects as an API server keeps them: versions, generations, server-side apply and owner references.

use std::collections::BTreeMap;

use kube::core::DynamicObject;
use operator_core::child::ChildKey;
use operator_core::names::OPERATOR;
use operator_core::object::Object;
use serde_json::{Map, Value, json};

/// Why a write was refused: code and message.
pub(crate) type Refusal = (u16, String);

/// Every object of the namespace but Shops.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) all: BTreeMap<ChildKey, DynamicObject>,
    counter: u64,
}

impl Objects {
    /// A number that was never given before.
    pub(crate) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Server-side apply with force.
    pub(crate) fn apply(&mut self, object: &Object, manager: &str) -> Result<(), Refusal> {
        let key = ChildKey::of(object);
        let desired = object.value();
        let old = self.all.get(&key).map(|old| serde_json::to_value(old).unwrap());
        let mut new = old.clone().unwrap_or_else(|| json!({ "metadata": {} }));
        if let Some(owned) = owned(&new, manager) {
            remove_left_over(&mut new, &owned, &desired);
        }
        merge(&mut new, &desired);
        set_owned(&mut new, manager, &desired);
        if let Some(old) = &old {
            check_immutable(&desired, old, &new)?;
        }
        self.store(key, old.as_ref(), new);
        Ok(())
    }

    /// A change by something else than the operator, which owns what it changes.
    pub(crate) fn edit(&mut self, key: &ChildKey, patch: &Value) {
        let Some(old) = self.all.get(key).map(|old| serde_json::to_value(old).unwrap()) else {
            return;
        };
        let mut new = old.clone();
        merge(&mut new, patch);
        if let Some(mut owned) = owned(&new, OPERATOR) {
            disown(&mut owned, patch);
            write_owned(&mut new, OPERATOR, &owned);
        }
        self.store(key.clone(), Some(&old), new);
    }

    /// Writes the status of an object; true if it changed.
    pub(crate) fn set_status(&mut self, key: &ChildKey, status: &Value) -> bool {
        let Some(object) = self.all.get_mut(key) else { return false };
        if object.data["status"] == *status {
            return false;
        }
        object.data["status"] = status.clone();
        let version = self.next();
        self.all.get_mut(key).unwrap().metadata.resource_version = Some(version.to_string());
        true
    }

    /// Deletes what belongs to owners that are not there; true if there was anything.
    pub(crate) fn collect_garbage(&mut self, shop: Option<&str>) -> bool {
        let uids: Vec<String> = self.all.values().filter_map(|o| o.metadata.uid.clone()).collect();
        let before = self.all.len();
        self.all.retain(|_, object| {
            let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
            owners.is_empty()
                || owners.iter().any(|o| Some(&*o.uid) == shop || uids.contains(&o.uid))
        });
        self.all.len() < before
    }

    fn store(&mut self, key: ChildKey, old: Option<&Value>, mut new: Value) {
        let is_same = old.is_some_and(|old| *old == new);
        if is_same {
            return;
        }
        let changed = old.is_none_or(|old| old["spec"] != new["spec"]);
        let generation = new["metadata"]["generation"].as_i64().unwrap_or(0);
        new["metadata"]["generation"] = json!(generation + i64::from(changed));
        if old.is_none() {
            new["metadata"]["uid"] = json!(format!("uid-{}", self.next()));
        }
        new["metadata"]["resourceVersion"] = json!(self.next().to_string());
        self.all.insert(key, serde_json::from_value(new).unwrap());
    }
}

fn check_immutable(desired: &Value, old: &Value, new: &Value) -> Result<(), Refusal> {
    let refused = |message: &str| Err((422, message.to_owned()));
    match desired["kind"].as_str() {
        Some("Job") if old["spec"]["template"] != new["spec"]["template"] => {
            refused("spec.template: field is immutable")
        }
        Some("StatefulSet")
            if old["spec"]["volumeClaimTemplates"] != new["spec"]["volumeClaimTemplates"]
                || old["spec"]["podManagementPolicy"] != new["spec"]["podManagementPolicy"] =>
        {
            refused("updates to statefulset spec for fields other than")
        }
        _ => Ok(()),
    }
}

/// The fields of an object, as the API server lists them. Lists count as a whole.
fn fields(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let children = map.iter().filter(|(_, value)| !value.is_null());
            children
                .map(|(key, value)| (format!("f:{key}"), fields(value)))
                .collect::<Map<_, _>>()
                .into()
        }
        _ => json!({}),
    }
}

fn set_owned(object: &mut Value, manager: &str, desired: &Value) {
    let mut content = desired.as_object().cloned().unwrap_or_default();
    content.remove("apiVersion");
    content.remove("kind");
    if let Some(Value::Object(metadata)) = content.get_mut("metadata") {
        metadata.remove("name");
        metadata.remove("namespace");
    }
    write_owned(object, manager, &fields(&content.into()));
}

fn write_owned(object: &mut Value, manager: &str, owned: &Value) {
    let version = object["apiVersion"].clone();
    let entries = &mut object["metadata"]["managedFields"];
    if !entries.is_array() {
        *entries = json!([]);
    }
    let list = entries.as_array_mut().unwrap();
    list.retain(|entry| entry["manager"] != manager);
    list.push(json!({
        "manager": manager, "operation": "Apply", "apiVersion": version, "fieldsV1": owned,
    }));
}

fn owned(object: &Value, manager: &str) -> Option<Value> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    Some(entries.iter().find(|entry| entry["manager"] == manager)?["fieldsV1"].clone())
}

/// Removes what was owned and is not desired any more.
fn remove_left_over(object: &mut Value, owned: &Value, desired: &Value) {
    let (Value::Object(object), Value::Object(owned)) = (object, owned) else { return };
    for (path, children) in owned {
        let Some(field) = path.strip_prefix("f:") else { continue };
        match (desired.get(field), object.get_mut(field)) {
            (None, Some(live)) if children.as_object().is_none_or(Map::is_empty) => {
                *live = Value::Null;
            }
            (desired, Some(live)) => {
                remove_left_over(live, children, desired.unwrap_or(&Value::Null));
                if desired.is_none() && live.as_object().is_some_and(Map::is_empty) {
                    *live = Value::Null;
                }
            }
            (_, None) => {}
        }
    }
    object.retain(|_, value| !value.is_null());
}

fn disown(owned: &mut Value, patch: &Value) {
    let (Value::Object(owned), Value::Object(patch)) = (owned, patch) else { return };
    for (field, value) in patch {
        let key = format!("f:{field}");
        if value.is_object() {
            if let Some(children) = owned.get_mut(&key) {
                disown(children, value);
            }
        } else {
            owned.remove(&key);
        }
    }
}

/// JSON merge patch, with lists as a whole.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) if patch.is_object() => {
            *target = json!({});
            merge(target, patch);
        }
        (target, patch) => *target = patch.clone(),
    }
}
