//! The API as a collection of Postman (format v2.1.0), made from its OpenAPI document: a request for every operation, and
//! a purchase that runs from top to bottom. What one request brings, tokens and ids, the next ones send.

mod example;
mod purchase;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use example::resolved;

/// The collection's format, as its field `info.schema` wants it.
const FORMAT: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";
/// Variables that are not empty at first.
const VARIABLES: [(&str, &str); 4] = [
    ("email", "ada@example.com"),
    ("password", "correct horse battery staple"),
    ("problem", "not-found"),
    ("category", "mugs"),
];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// An operation of the document.
#[derive(Clone, Copy)]
struct Operation<'a> {
    document: &'a Value,
    method: &'a str,
    path: &'a str,
    inner: &'a Value,
}

/// The collection of this document, for a shop at `base`.
pub fn collection(document: &Value, base: &str) -> Value {
    let operations: Vec<Operation<'_>> = operations(document).collect();
    let mut folders = BTreeMap::<&str, Vec<Value>>::new();
    for operation in &operations {
        let tag = operation.inner["tags"][0].as_str().unwrap_or("others");
        folders.entry(tag).or_default().push(operation.item());
    }
    let mut items = vec![purchase::folder(&operations)];
    items.extend(folders.into_iter().map(|(name, items)| json!({ "name": name, "item": items })));
    let auth = json!({
        "type": "bearer",
        "bearer": [{ "key": "token", "value": "{{token}}", "type": "string" }],
    });
    let names = used(&json!([items, auth]));
    let variables = names.iter().map(|name| {
        let known = VARIABLES.iter().find(|(known, _)| known == name);
        let value = if *name == "baseUrl" { base } else { known.map_or("", |(_, value)| value) };
        json!({ "key": name, "value": value, "type": "string" })
    });
    json!({
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "schema": FORMAT,
        },
        "auth": auth,
        "variable": variables.collect::<Vec<_>>(),
        "event": [scripts::test(scripts::KEEP_ETAG)],
        "item": items,
    })
}

fn operations(document: &Value) -> impl Iterator<Item = Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(move |(path, item)| {
        METHODS.into_iter().filter_map(move |method| {
            Some(Operation { document, method, path, inner: item.get(method)? })
        })
    })
}

impl Operation<'_> {
    /// A request of the collection, with what is done about its answer.
    fn item(&self) -> Value {
        let events: Vec<Value> = scripts::keeping(self).iter().map(|s| scripts::test(s)).collect();
        json!({ "name": self.name(), "request": self.request(), "event": events, "response": [] })
    }

    /// The first sentence of the summary.
    fn name(&self) -> String {
        let Some(summary) = self.inner["summary"].as_str() else {
            return format!("{} {}", self.method, self.path);
        };
        let line = summary.split_whitespace().collect::<Vec<_>>().join(" ");
        let first = line.split_once(". ").map_or(line.as_str(), |(first, _)| first);
        first.trim_end_matches('.').to_owned()
    }

    fn request(&self) -> Value {
        let mut headers = self.parameters("header");
        let texts = ["summary", "description"].into_iter();
        let texts = texts.filter_map(|text| self.inner[text].as_str());
        let mut request = json!({
            "method": self.method.to_uppercase(),
            "description": texts.collect::<Vec<_>>().join("\n\n"),
            "url": self.url(),
        });
        if let Some((media_type, body)) = self.body() {
            if media_type == "application/json" {
                headers.push(json!({ "key": "Content-Type", "value": media_type }));
            }
            request["body"] = body;
        }
        request["header"] = json!(headers);
        if self.inner["security"].as_array().is_none_or(Vec::is_empty) {
            request["auth"] = json!({ "type": "noauth" });
        }
        request
    }

    /// Parameters at this place; those that need not be there are turned off.
    fn parameters(&self, place: &str) -> Vec<Value> {
        let all = self.inner["parameters"].as_array().into_iter().flatten();
        let here = all.filter(|parameter| parameter["in"] == *place);
        let described = here.map(|parameter| {
            let name = parameter["name"].as_str().unwrap_or_default();
            let value = match (place, name) {
                ("header", "If-Match") => "{{etag}}".to_owned(),
                ("header", "Idempotency-Key") => "{{$guid}}".to_owned(),
                ("header", "X-Cart-Token") => "{{cartToken}}".to_owned(),
                ("path", _) => format!("{{{{{}}}}}", variable(self.path, name)),
                _ => match example::of(self.document, &parameter["schema"]) {
                    Value::String(text) => text,
                    value => value.to_string(),
                },
            };
            json!({ "key": name, "value": value, "disabled": parameter["required"] != true })
        });
        described.collect()
    }

    fn url(&self) -> Value {
        // Postman writes `:id` where OpenAPI writes `{id}`.
        let path = self.path.replace('{', ":").replace('}', "");
        json!({
            "raw": format!("{{{{baseUrl}}}}{path}"),
            "host": ["{{baseUrl}}"],
            "path": path.split('/').skip(1).collect::<Vec<_>>(),
            "query": self.parameters("query"),
            "variable": self.parameters("path"),
        })
    }

    /// Media type and body of the request, if it has one.
    fn body(&self) -> Option<(&str, Value)> {
        let (media_type, content) =
            self.inner["requestBody"]["content"].as_object()?.iter().next()?;
        let schema = &content["schema"];
        let body = match media_type.as_str() {
            "application/json" => raw(&example::of(self.document, schema)),
            "multipart/form-data" => {
                let fields = resolved(self.document, schema)["properties"].as_object();
                let fields = fields.into_iter().flatten().map(|(name, field)| {
                    let of_file = resolved(self.document, field)["type"] != "string"
                        || field["format"] == "binary";
                    let kind = if of_file { "file" } else { "text" };
                    json!({ "key": name, "type": kind })
                });
                json!({ "mode": "formdata", "formdata": fields.collect::<Vec<_>>() })
            }
            _ => json!({ "mode": "file", "file": {} }),
        };
        Some((media_type, body))
    }

    /// The schema of the answer to a request that has succeeded.
    fn answer(&self) -> Option<&Value> {
        let responses = self.inner["responses"].as_object()?;
        let (_, good) = responses.iter().find(|(status, _)| status.starts_with('2'))?;
        let schema =
            resolved(self.document, good)["content"].get("application/json")?.get("schema")?;
        Some(resolved(self.document, schema))
    }
}

/// A body of JSON.
fn raw(value: &Value) -> Value {
    let options = json!({ "raw": { "language": "json" } });
    json!({ "mode": "raw", "raw": format!("{value:#}"), "options": options })
}

/// The variable that a parameter of a path is filled from: `{id}` of `/orders/{id}` is `orderId`, `{slug}` of
/// `/categories/{slug}` is `category`, any other is itself.
fn variable(path: &str, parameter: &str) -> String {
    let before = path.split_once(&format!("/{{{parameter}}}")).map_or("", |(before, _)| before);
    let owner = singular(before.rsplit('/').next().unwrap_or_default());
    match parameter {
        "id" => format!("{owner}Id"),
        "slug" => owner,
        other => camel_case(other),
    }
}

fn singular(word: &str) -> String {
    let stem = word.strip_suffix("ies").map(|stem| format!("{stem}y"));
    let stem = stem.or_else(|| word.strip_suffix("sses").map(|stem| format!("{stem}ss")));
    stem.unwrap_or_else(|| word.strip_suffix('s').unwrap_or(word).to_owned())
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let initial = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &initial.into_iter().chain(letters).collect::<String>()
    })
}

/// Names of the variables that a value speaks of, but for those that Postman has itself (`{{$guid}}`).
fn used(value: &Value) -> BTreeSet<String> {
    let text = value.to_string();
    let names = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    let own = names.filter(|(name, _)| !name.starts_with('$') && name.len() < 40);
    own.map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_called_after_what_they_identify() {
        for (path, parameter, name) in [
            ("/api/v1/orders/{id}/cancel", "id", "orderId"),
            ("/api/v1/me/addresses/{id}", "id", "addressId"),
            ("/api/v1/categories/{slug}", "slug", "category"),
            ("/api/v1/cart/items/{product_id}", "product_id", "productId"),
            ("/api/v1/stock/{sku}", "sku", "sku"),
        ] {
            assert_eq!(variable(path, parameter), name, "{path}");
        }
    }

    #[test]
    fn a_request_is_complete() {
        let document = json!({
            "info": { "title": "Shop", "description": "Sells." },
            "paths": { "/api/v1/things/{id}": { "put": {
                "tags": ["things"],
                "summary": "Changes a\nthing. Not twice.",
                "parameters": [
                    { "in": "path", "name": "id", "required": true, "schema": { "type": "string" } },
                    { "in": "query", "name": "limit", "schema": { "type": "integer", "minimum": 5 } },
                    { "in": "header", "name": "If-Match", "required": true },
                    { "in": "header", "name": "Idempotency-Key", "required": true },
                ],
                "requestBody": { "content": { "application/json": { "schema": {
                    "type": "object", "properties": { "email": { "type": "string" } },
                } } } },
                "responses": {},
                "security": [{ "bearer": [] }],
            } } },
        });
        let collection = collection(&document, "http://shop.example");
        let item = &collection["item"][1]["item"][0];
        assert_eq!(item["name"], "Changes a thing");
        let request = &item["request"];
        assert_eq!(request["method"], "PUT");
        assert_eq!(request["url"]["raw"], "{{baseUrl}}/api/v1/things/:id");
        assert_eq!(
            request["url"]["variable"],
            json!([{ "key": "id", "value": "{{thingId}}", "disabled": false }])
        );
        let limit = json!([{ "key": "limit", "value": "5", "disabled": true }]);
        assert_eq!(request["url"]["query"], limit);
        assert_eq!(
            request["header"],
            json!([
                { "key": "If-Match", "value": "{{etag}}", "disabled": false },
                { "key": "Idempotency-Key", "value": "{{$guid}}", "disabled": false },
                { "key": "Content-Type", "value": "application/json" },
            ])
        );
        assert_eq!(request["body"]["raw"], "{\n  \"email\": \"{{email}}\"\n}");
        assert_eq!(request.get("auth"), None, "that of the collection holds");
        let variables = collection["variable"].as_array().unwrap();
        let names: Vec<&str> = variables.iter().filter_map(|v| v["key"].as_str()).collect();
        assert_eq!(names, ["baseUrl", "email", "etag", "thingId", "token"]);
        assert_eq!(variables[0]["value"], "http://shop.example");
    }
}
