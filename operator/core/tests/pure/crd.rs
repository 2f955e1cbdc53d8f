//! The CRD in `crds/` is the one that the types print, and reads well.

use std::{env, fs};

use operator_core::crd;
use serde_json::Value;

use crate::support::{repository, schema, stored};

#[test]
#[expect(clippy::disallowed_methods, reason = "`make generate` says so by a variable")]
fn the_file_equals_what_the_types_print() {
    let path = repository("crds/shops.shop-operator.io.yaml");
    let header = "# Generated from operator/core/src/crd by `make generate`; never edited.\n";
    let expected = format!("{header}{}", crd::yaml());
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &expected).expect("the file is writable");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is out of date: run `make generate`", path.display());
}

#[test]
fn a_shop_without_a_spec_has_every_default() {
    let minimal = serde_json::json!({
        "apiVersion": "shop-operator.io/v1alpha1", "kind": "Shop", "metadata": { "name": "demo" },
    });
    assert_eq!(stored(minimal).spec, crd::ShopSpec::default());
    assert_eq!(schema()["properties"]["spec"]["default"], serde_json::json!({}));
    assert!(schema().get("required").is_none());
}

#[test]
fn every_field_is_explained_and_bounded() {
    let mut gaps = Vec::new();
    visit("spec", &schema()["properties"]["spec"], &mut |path, field| {
        let text = field["description"].as_str().unwrap_or_default();
        if text.is_empty() && !path.ends_with("[]") && explained(path) {
            gaps.push(format!("{path} has no description"));
        }
        let open = match field["type"].as_str() {
            Some("string") => field.get("enum").is_none() && field.get("maxLength").is_none(),
            Some("array") => field.get("maxItems").is_none(),
            Some("integer") => field.get("minimum").is_none() || field.get("maximum").is_none(),
            Some("object") => {
                field.get("additionalProperties").is_some() && field.get("maxProperties").is_none()
            }
            _ => false,
        };
        if open {
            gaps.push(format!("{path} is not bounded"));
        }
    });
    assert!(gaps.is_empty(), "{gaps:#?}");
}

/// Whether a field is explained where it is: those of `Scheduling` are in `spec.scheduling` alone.
fn explained(path: &str) -> bool {
    !of_kubernetes(path) || path.starts_with("spec.scheduling.") || path.contains("Egress[]")
}

/// Whether a field is one of a type of Kubernetes.
pub(crate) fn of_kubernetes(path: &str) -> bool {
    ["affinity.", "tolerations[]", "topologySpreadConstraints[]", "additionalEgress[]"]
        .iter()
        .any(|field| path.contains(field))
}

#[test]
fn what_is_absent_in_a_service_or_engine_is_explained() {
    let schema = schema();
    let spec = |path: &str| {
        let path = path.replace('/', "/properties/").replace("[]", "/items");
        let field = schema.pointer(&format!("/properties/spec{path}"));
        let text = field.unwrap_or_else(|| panic!("there is no {path}"))["description"].clone();
        text.as_str().is_some_and(|text| text.ends_with("Absent: as in `spec.scheduling`."))
    };
    let fields = schema["properties"]["spec"]["properties"]["scheduling"]["properties"].clone();
    for field in fields.as_object().into_iter().flatten().map(|(name, _)| name) {
        for part in ["/services[]", "/database/bundled", "/mail/bundled", "/backup"] {
            assert!(spec(&format!("{part}/{field}")), "{part}/{field}");
        }
        assert!(!spec(&format!("/scheduling/{field}")), "{field}");
    }
}

/// `kubectl apply` puts a definition into an annotation, which may have 256 KiB.
#[test]
fn the_definition_fits_into_an_annotation() {
    let definition = serde_json::to_string(&crd::definition()).expect("a CRD is JSON");
    assert!(definition.len() < 224 * 1024, "{} bytes", definition.len());
}

#[test]
fn the_schema_is_free_of_what_the_api_server_warns_about() {
    let crd = crd::yaml();
    for word in ["nullable", "uint", "anyOf", "oneOf", "allOf", "$ref"] {
        assert!(!crd.contains(word), "{word}");
    }
}

/// Shows every field of a schema, with its path.
pub(crate) fn visit(path: &str, schema: &Value, see: &mut impl FnMut(&str, &Value)) {
    see(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        visit(&format!("{path}.{name}"), field, see);
    }
    if let Some(items) = schema.get("items") {
        visit(&format!("{path}[]"), items, see);
    }
}
