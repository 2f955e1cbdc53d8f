//! Whether the CRD that a cluster has is the one that this version of the operator needs.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use semver::Version;
use serde_json::Value;

/// On a CRD: version of the operator that it belongs to.
pub const VERSION_ANNOTATION: &str = "shop-operator.io/operator-version";
/// Bounds of a value that must not be lower in the installed schema than in ours.
const UPPER: [&str; 4] = ["maxLength", "maxItems", "maxProperties", "maximum"];
/// Bounds of a value that must not be higher in the installed schema than in ours.
const LOWER: [&str; 4] = ["minLength", "minItems", "minProperties", "minimum"];

/// Why a CRD is not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Downgrade {
    /// A newer operator has written it.
    #[error(
        "the installed CRD belongs to version {installed} of the operator, which is newer than {ours}: fields that it added would be lost"
    )]
    Newer {
        /// Version of the installed CRD.
        installed: Version,
        /// Version of this operator.
        ours: Version,
    },
    /// Nobody knows how old it is.
    #[error("the annotation {VERSION_ANNOTATION} of the installed CRD is no version: {0:?}")]
    Unreadable(String),
}

/// Whether `ours` may replace an installed CRD. One without a version is older than all that have one.
pub fn check_upgrade(
    installed: &CustomResourceDefinition,
    ours: &CustomResourceDefinition,
) -> Result<(), Downgrade> {
    let Some(text) = annotation(installed) else { return Ok(()) };
    let Ok(installed) = Version::parse(text) else {
        return Err(Downgrade::Unreadable(text.to_owned()));
    };
    match version(ours) {
        // Build metadata has no precedence.
        Some(ours) if installed.cmp_precedence(&ours) == Ordering::Greater => {
            Err(Downgrade::Newer { installed, ours })
        }
        _ => Ok(()),
    }
}

/// What `ours` can hold and an installed CRD cannot, as paths with the difference. Only the status counts in a CRD of a newer operator: an
/// older one writes no specs.
pub fn gaps(installed: &CustomResourceDefinition, ours: &CustomResourceDefinition) -> Vec<String> {
    let newer = matches!(check_upgrade(installed, ours), Err(Downgrade::Newer { .. }));
    let roots: &[&str] = if newer { &["status"] } else { &["spec", "status"] };
    let mut gaps = Vec::new();
    for version in &ours.spec.versions {
        let name = &version.name;
        let found = installed.spec.versions.iter().find(|found| found.name == *name);
        let Some(found) = found.filter(|found| found.served) else {
            gaps.push(format!("version {name} is not served"));
            continue;
        };
        if has_status(version) && !has_status(found) {
            gaps.push("the subresource status is missing".to_owned());
        }
        let (ours, found) = (schema(version), schema(found));
        for root in roots {
            compare_property(root, root, &ours, &found, &mut gaps);
        }
    }
    gaps
}

fn annotation(crd: &CustomResourceDefinition) -> Option<&str> {
    crd.metadata.annotations.as_ref()?.get(VERSION_ANNOTATION).map(String::as_str)
}

fn version(crd: &CustomResourceDefinition) -> Option<Version> {
    Version::parse(annotation(crd)?).ok()
}

fn has_status(version: &CustomResourceDefinitionVersion) -> bool {
    version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some())
}

fn schema(version: &CustomResourceDefinitionVersion) -> Value {
    serde_json::to_value(version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()))
        .expect("a schema is JSON")
}

fn compare_property(path: &str, name: &str, ours: &Value, found: &Value, gaps: &mut Vec<String>) {
    let ours = &ours["properties"][name];
    match found["properties"].get(name) {
        _ if ours.is_null() => {}
        None => gaps.push(format!("{path} is missing")),
        Some(found) => compare(path, ours, found, gaps),
    }
}

fn compare(path: &str, ours: &Value, found: &Value, gaps: &mut Vec<String>) {
    if found["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    if ours["type"] != found["type"] {
        gaps.push(format!("{path} is of type {}, not {}", found["type"], ours["type"]));
        return;
    }
    compare_values(path, ours, found, gaps);
    for name in strings(&found["required"]) {
        if !strings(&ours["required"]).any(|ours| ours == name) {
            gaps.push(format!("{path}.{name} is required"));
        }
    }
    for name in ours["properties"].as_object().into_iter().flat_map(serde_json::Map::keys) {
        compare_property(&format!("{path}.{name}"), name, ours, found, gaps);
    }
    for (child, suffix) in [("items", "[]"), ("additionalProperties", ".*")] {
        match (&ours[child], &found[child]) {
            (Value::Object(_), Value::Null) => gaps.push(format!("{path}{suffix} is missing")),
            (ours @ Value::Object(_), found) => {
                compare(&format!("{path}{suffix}"), ours, found, gaps);
            }
            _ => {}
        }
    }
}

/// Values, bounds and rules of one field.
fn compare_values(path: &str, ours: &Value, found: &Value, gaps: &mut Vec<String>) {
    match (ours["enum"].as_array(), found["enum"].as_array()) {
        (_, None) => {}
        (None, Some(_)) => gaps.push(format!("{path} allows some values only")),
        (Some(ours), Some(found)) => {
            let refused = ours.iter().filter(|value| !found.contains(value));
            gaps.extend(refused.map(|value| format!("{path} does not allow {value}")));
        }
    }
    let bound = |schema: &Value, name: &str| schema[name].as_f64();
    let upper = UPPER.iter().filter(|name| {
        bound(found, name).is_some_and(|found| bound(ours, name).is_none_or(|ours| found < ours))
    });
    let lower = LOWER.iter().filter(|name| {
        bound(found, name).is_some_and(|found| bound(ours, name).is_none_or(|ours| found > ours))
    });
    gaps.extend(upper.chain(lower).map(|name| format!("{path} has the {name} {}", found[*name])));
    if found["pattern"].is_string() && found["pattern"] != ours["pattern"] {
        gaps.push(format!("{path} has another pattern"));
    }
    let known = rules(ours);
    gaps.extend(rules(found).difference(&known).map(|rule| format!("{path} has the rule {rule}")));
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn rules(schema: &Value) -> BTreeSet<&str> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.filter_map(|rule| rule["rule"].as_str()).collect()
}
