//! The CRD as the API server should see it, and the pieces of schema that derives cannot express.

use contracts::Currency;
use contracts::search::LANGUAGES;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::Shop;

/// Syntax of a quantity, without the exponents and the precision that nobody writes by hand.
const QUANTITY: &str = r"^([0-9]{1,15}m|[0-9]{1,15}(\.[0-9]{1,3})?([kMGTPE]|[KMGTPE]i)?)$";

/// Schema of a volume's size: a string, so that CEL's `quantity()` takes it.
pub(super) fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 32, "pattern": QUANTITY })
}

/// Schema of a currency: the codes that the services know, so that the API server refuses all others.
pub(super) fn currency(_: &mut SchemaGenerator) -> Schema {
    let codes: Vec<String> = Currency::all().into_iter().map(String::from).collect();
    json_schema!({ "type": "string", "minLength": 3, "maxLength": 3, "enum": codes })
}

/// Schema of the language of searches.
pub(super) fn search_language(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": LANGUAGES })
}

/// Schema of the resources of a container.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 8,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
            "pattern": QUANTITY,
        },
    })
}

/// The CRD of [`Shop`].
pub fn definition() -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(Shop::crd()).expect("a CRD is JSON");
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tidy(schema);
    // The five-line Shop has no spec at all; the derive cannot say so.
    if let Some(root) = schema.as_object_mut() {
        root.remove("required");
    }
    schema["properties"]["spec"]["default"] = json!({});
    serde_json::from_value(crd).expect("a tidied CRD is a CRD")
}

/// The CRD of [`Shop`] as YAML.
pub fn yaml() -> String {
    serde_yaml_ng::to_string(&definition()).expect("a CRD is YAML")
}

/// Takes out what the derives put in and the API server does not want: `nullable` (a null then
/// counts as absent, so that `has()` in a CEL rule means what it says), titles, and formats that
/// it warns about.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("nullable").is_some_and(Value::is_boolean) {
                fields.remove("nullable");
            }
            if fields.get("title").is_some_and(Value::is_string) {
                fields.remove("title");
            }
            if fields.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                fields.remove("format");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
