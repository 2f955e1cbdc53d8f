//! Values that fit a schema.

use serde_json::{Map, Value, json};

/// Fields whose value another request has brought, or that only a few values fit.
const KNOWN: [(&str, &str); 6] = [
    ("email", "{{email}}"),
    ("password", "{{password}}"),
    ("refresh_token", "{{refreshToken}}"),
    ("payment_token", "tok_visa"),
    ("product_id", "{{productId}}"),
    ("order_id", "{{orderId}}"),
];

/// How deep schemas may lie in one another; one that holds itself ends here.
const DEPTH: usize = 8;

/// A value that fits this schema of the document. Objects have the fields that they must have or, if they must have
/// none, all.
pub(super) fn of(document: &Value, schema: &Value) -> Value {
    fitting(document, schema, "", DEPTH)
}

/// The schema that a reference leads to, or the schema itself.
pub(super) fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(schema)
}

fn fitting(document: &Value, schema: &Value, name: &str, depth: usize) -> Value {
    let schema = resolved(document, schema);
    let known = KNOWN.into_iter().find(|(field, _)| *field == name);
    if let Some((_, value)) = known {
        return json!(value);
    }
    let given = [&schema["example"], &schema["examples"][0], &schema["const"], &schema["enum"][0]];
    if let Some(given) = given.into_iter().find(|given| !given.is_null()) {
        return given.clone();
    }
    if depth == 0 {
        return Value::Null;
    }
    let inner = |schema: &Value, name: &str| fitting(document, schema, name, depth - 1);
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts.iter().map(|part| inner(part, name));
        return parts.reduce(merged).unwrap_or_default();
    }
    if let Some(ways) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        let way = ways.iter().find(|way| way["type"] != "null");
        return way.map_or(Value::Null, |way| inner(way, name));
    }
    match kind(schema) {
        "object" => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let chosen = fields.filter(|(field, _)| is_needed(schema, field));
            chosen.map(|(field, schema)| (field.clone(), inner(schema, field))).collect()
        }
        "array" => json!([inner(&schema["items"], name)]),
        "string" => json!(text(schema)),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

fn merged(left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            Value::Object(left.into_iter().chain(right).collect::<Map<_, _>>())
        }
        (left, _) => left,
    }
}

fn is_needed(schema: &Value, field: &str) -> bool {
    schema["required"].as_array().is_none_or(|all| all.iter().any(|one| one == field))
}

/// A schema's type; of several the first that is not null.
fn kind(schema: &Value) -> &str {
    let several = schema["type"].as_array().into_iter().flatten();
    let first = several.filter_map(Value::as_str).find(|kind| *kind != "null");
    schema["type"].as_str().or(first).unwrap_or_default()
}

fn text(schema: &Value) -> &str {
    match schema["format"].as_str() {
        Some("uuid") => "{{$guid}}",
        Some("password") => "{{password}}",
        Some("date-time") => "{{$isoTimestamp}}",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_what_its_schema_asks_for() {
        let document = json!({ "components": { "schemas": {
            "Money": {
                "type": "object",
                "required": ["amount", "currency"],
                "properties": {
                    "amount": { "type": "integer", "minimum": 100 },
                    "currency": { "type": "string", "example": "EUR" },
                },
            },
            "Tree": { "type": "object", "properties": { "tree": { "$ref": "#/components/schemas/Tree" } } },
        } } });
        let schema = json!({
            "type": "object",
            "required": ["email", "price", "lines", "kind", "note"],
            "properties": {
                "email": { "type": "string", "example": "somebody@example.com" },
                "price": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Money" }] },
                "lines": { "type": ["array", "null"], "items": {
                    "type": "object",
                    "properties": { "product_id": { "type": "string", "format": "uuid" }, "gift": { "type": "boolean" } },
                } },
                "kind": { "type": "string", "enum": ["one", "two"] },
                "note": { "type": ["null", "string"] },
                "left_out": { "type": "string" },
            },
        });
        assert_eq!(
            of(&document, &schema),
            json!({
                "email": "{{email}}",
                "price": { "amount": 100, "currency": "EUR" },
                "lines": [{ "product_id": "{{productId}}", "gift": true }],
                "kind": "one",
                "note": "text",
            })
        );
        let tree = json!({ "$ref": "#/components/schemas/Tree" });
        assert!(of(&document, &tree).to_string().ends_with("{\"tree\":null}}}}}}}}"));
    }
}
