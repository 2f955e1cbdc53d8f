//! What is done about answers: scripts that Postman runs.

use serde_json::{Value, json};

use super::{Operation, camel_case, resolved, singular};

/// Every answer's version is what the next `If-Match` says.
pub(super) const KEEP_ETAG: &str = "\
if (pm.response.headers.has(\"ETag\")) {
    pm.collectionVariables.set(\"etag\", pm.response.headers.get(\"ETag\"));
}";

/// A script that runs after the answer.
pub(super) fn test(script: &str) -> Value {
    event("test", script)
}

/// A script that runs before the request (`prerequest`) or after the answer (`test`).
pub(super) fn event(listen: &str, script: &str) -> Value {
    let lines: Vec<&str> = script.lines().collect();
    json!({ "listen": listen, "script": { "type": "text/javascript", "exec": lines } })
}

/// Keeps what the answer brings for other requests: tokens, and the id of what was made or found.
pub(super) fn keeping(operation: &Operation<'_>) -> Option<String> {
    let answer = operation.answer()?;
    let last =
        operation.path.rsplit('/').next().filter(|last| last.ends_with('s') || *last == "cart");
    let (of, thing) = match operation.method {
        "get" => ("answer.items[0]", &answer["properties"]["items"]["items"]),
        _ => ("answer", answer),
    };
    let kept = fields(operation.document, thing).into_iter().filter_map(|field| {
        let variable = match (field, last) {
            ("access_token", _) => "token".to_owned(),
            ("refresh_token", _) => "refreshToken".to_owned(),
            ("token", Some("cart")) => "cartToken".to_owned(),
            ("id", Some(last)) => format!("{}Id", singular(last)),
            ("slug", Some(last)) => singular(last),
            ("sku" | "product_id" | "order_id", Some(_)) => camel_case(field),
            _ => return None,
        };
        Some(format!("    keep(\"{variable}\", {of}.{field});"))
    });
    let kept: Vec<String> = kept.collect();
    if kept.is_empty() {
        return None;
    }
    let there = if of == "answer" { "" } else { " && pm.response.json().items.length > 0" };
    Some(format!(
        "if (pm.response.code < 300{there}) {{
    const answer = pm.response.json();
    const keep = (name, value) => value && pm.collectionVariables.set(name, value);
{}
}}",
        kept.join("\n")
    ))
}

/// Names of an object's fields, also of those that it takes over from others.
fn fields<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    let schema = resolved(document, schema);
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let own = schema["properties"].as_object().into_iter().flatten();
    let own = own.map(|(name, _)| name.as_str());
    own.chain(parts.flat_map(|part| fields(document, part))).collect()
}
