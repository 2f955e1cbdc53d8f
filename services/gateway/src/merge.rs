//! One OpenAPI document out of many.

use std::collections::BTreeSet;

use kit::problem::RATE_LIMITED;
use serde_json::{Map, Value, json};

use crate::routes::{self, Upstream};

/// Sections of `components` whose entries are referred to by `$ref`. Security schemes are referred
/// to by name, and all services share theirs.
const SECTIONS: [&str; 6] =
    ["schemas", "responses", "parameters", "requestBodies", "headers", "examples"];

/// A section and a name in it.
type Component = (&'static str, String);

/// The gateway's own document with what services offer through the gateway. An operation that the
/// gateway has itself stays its own; components of the same name and different content are told
/// apart by their service's name.
pub fn merge(own: Value, services: &[(Upstream, Value)]) -> Value {
    let mut merged = own;
    for (upstream, document) in services {
        let mut document = document.clone();
        let clashing = clashing(&merged, &document);
        rename(&mut document, upstream.name(), &clashing);
        add_components(&mut merged, &mut document, upstream.name(), &clashing);
        add_paths(&mut merged, &mut document, *upstream);
    }
    merged
}

/// The components that the merged document has under the same name but not the same, and those
/// that refer to them: to share these would be to refer to another service's.
fn clashing(merged: &Value, document: &Value) -> BTreeSet<Component> {
    let mut clashing = BTreeSet::new();
    loop {
        let before = clashing.len();
        for section in SECTIONS {
            let Some(components) = document["components"][section].as_object() else { continue };
            for (name, component) in components {
                let Some(other) = merged["components"][section].get(name) else { continue };
                if other != component || refers_to(component, &clashing) {
                    clashing.insert((section, name.clone()));
                }
            }
        }
        if clashing.len() == before {
            return clashing;
        }
    }
}

/// `#/components/<section>/<name>`, taken apart.
fn reference(text: &str) -> Option<Component> {
    let (section, name) = text.strip_prefix("#/components/")?.split_once('/')?;
    let section = SECTIONS.into_iter().find(|known| *known == section)?;
    Some((section, name.to_owned()))
}

fn refers_to(value: &Value, components: &BTreeSet<Component>) -> bool {
    match value {
        Value::String(text) => reference(text).is_some_and(|found| components.contains(&found)),
        Value::Array(items) => items.iter().any(|item| refers_to(item, components)),
        Value::Object(fields) => fields.values().any(|field| refers_to(field, components)),
        _ => false,
    }
}

/// No generated name has a dot, so this is nobody else's.
fn qualified(service: &str, name: &str) -> String {
    format!("{service}.{name}")
}

fn rename(value: &mut Value, service: &str, components: &BTreeSet<Component>) {
    match value {
        Value::String(text) => {
            if let Some(found) = reference(text).filter(|found| components.contains(found)) {
                *text = format!("#/components/{}/{}", found.0, qualified(service, &found.1));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, service, components)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| rename(field, service, components));
        }
        _ => {}
    }
}

fn add_components(
    merged: &mut Value,
    document: &mut Value,
    service: &str,
    clashing: &BTreeSet<Component>,
) {
    for section in SECTIONS.into_iter().chain(["securitySchemes"]) {
        for (name, component) in taken(&mut document["components"][section]) {
            let clashes = clashing.contains(&(section, name.clone()));
            let name = if clashes { qualified(service, &name) } else { name };
            put(&mut merged["components"][section], name, component);
        }
    }
}

fn add_paths(merged: &mut Value, document: &mut Value, upstream: Upstream) {
    for (path, mut item) in taken(&mut document["paths"]) {
        // Whatever else a service offers is not for shoppers.
        if routes::find(&path).is_none_or(|(_, owner)| owner != upstream) {
            continue;
        }
        for (method, mut operation) in taken(&mut item) {
            describe(&mut operation, upstream.name());
            put(&mut merged["paths"][&path], method, operation);
        }
    }
}

/// Ids of operations must be unique in a document; tags sort operations by service; and the gateway may refuse
/// whatever a service would have answered.
fn describe(operation: &mut Value, service: &str) {
    let Some(operation) = operation.as_object_mut() else { return };
    if let Some(Value::String(id)) = operation.get_mut("operationId") {
        *id = format!("{service}_{id}");
    }
    let untagged = operation.get("tags").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if untagged {
        operation.insert("tags".to_owned(), json!([service]));
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    put(responses, RATE_LIMITED.status.to_string(), json!({ "$ref": refused() }));
}

/// Where the gateway's own document says what a client is told who has sent too many requests.
fn refused() -> String {
    format!("#/components/responses/{}", RATE_LIMITED.slug)
}

fn taken(value: &mut Value) -> Map<String, Value> {
    match value.take() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Adds a field unless it is there; makes the object that it belongs to.
fn put(object: &mut Value, name: String, value: Value) {
    if object.is_null() {
        *object = json!({});
    }
    if let Some(fields) = object.as_object_mut() {
        fields.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, schemas: &Value) -> Value {
        let item = json!({ "$ref": "#/components/schemas/Item" });
        json!({
            "paths": {
                path: { "get": { "operationId": "list", "schema": item } },
                "/openapi.json": { "get": {} },
            },
            "components": { "schemas": schemas, "securitySchemes": { "bearer": {} } },
        })
    }

    fn merged() -> Value {
        let money = json!({ "type": "object" });
        let order = json!({
            "Item": { "properties": { "kind": { "$ref": "#/components/schemas/Kind" } } },
            "Kind": { "enum": ["a"] },
            "Money": money,
        });
        let cart = json!({
            "Item": { "properties": { "kind": { "$ref": "#/components/schemas/Kind" } } },
            "Kind": { "enum": ["b"] },
            "Money": money,
        });
        let own = json!({ "info": {}, "paths": { "/health": { "get": {} } } });
        merge(
            own,
            &[
                (Upstream::Order, document("/api/v1/orders", &order)),
                (Upstream::Cart, document("/api/v1/cart", &cart)),
            ],
        )
    }

    #[test]
    fn only_what_can_be_reached_is_there_under_ids_of_its_own() {
        let merged = merged();
        let paths: Vec<&String> = merged["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths, ["/api/v1/cart", "/api/v1/orders", "/health"]);
        assert_eq!(merged["paths"]["/api/v1/cart"]["get"]["operationId"], "cart_list");
        assert_eq!(merged["paths"]["/api/v1/cart"]["get"]["tags"], json!(["cart"]));
        let too_many = &merged["paths"]["/api/v1/cart"]["get"]["responses"]["429"];
        assert_eq!(*too_many, json!({ "$ref": "#/components/responses/rate-limited" }));
    }

    #[test]
    fn components_of_one_name_are_shared_or_told_apart() {
        let merged = merged();
        let schemas = &merged["components"]["schemas"];
        let names: Vec<&String> = schemas.as_object().unwrap().keys().collect();
        // Item is equal in both, but refers to different kinds.
        assert_eq!(names, ["Item", "Kind", "Money", "cart.Item", "cart.Kind"]);
        assert_eq!(schemas["cart.Kind"]["enum"], json!(["b"]));
        let kind = &schemas["cart.Item"]["properties"]["kind"]["$ref"];
        assert_eq!(kind, "#/components/schemas/cart.Kind");
        let item = |path: &str| merged["paths"][path]["get"]["schema"]["$ref"].clone();
        assert_eq!(item("/api/v1/cart"), "#/components/schemas/cart.Item");
        assert_eq!(item("/api/v1/orders"), "#/components/schemas/Item");
    }

    #[test]
    fn what_the_gateway_answers_itself_is_its_own() {
        let path = "/api/v1/products/{id}";
        let own = json!({ "paths": { path: { "get": { "operationId": "page" } } } });
        let mut catalog = document(path, &json!({}));
        catalog["paths"][path]["put"] = json!({ "operationId": "change" });
        let merged = merge(own, &[(Upstream::Catalog, catalog)]);
        assert_eq!(merged["paths"][path]["get"]["operationId"], "page");
        assert_eq!(merged["paths"][path]["put"]["operationId"], "catalog_change");
    }
}
