//! A purchase, from an account to a paid order: the first folder of the collection, to be run as a whole.

use serde_json::{Value, json};

use super::{Operation, raw, scripts};

/// Name of the folder.
const NAME: &str = "A purchase";

/// A request of the purchase.
struct Step {
    method: &'static str,
    path: &'static str,
    status: u16,
    /// Query, where the operation's own example is not what is wanted here.
    query: &'static [(&'static str, &'static str)],
    /// Body, likewise.
    body: Option<&'static str>,
    /// Run before the request.
    before: &'static str,
    /// Run after the answer.
    after: &'static str,
}

const STEP: Step =
    Step { method: "post", path: "", status: 200, query: &[], body: None, before: "", after: "" };

const STEPS: [Step; 8] = [
    Step {
        path: "/api/v1/auth/register",
        status: 201,
        // An address has one account, and the purchase can be run often.
        before: "const name = pm.variables.replaceIn(\"{{$guid}}\");
pm.collectionVariables.set(\"email\", `shopper-${name}@example.com`);",
        ..STEP
    },
    Step { path: "/api/v1/auth/login", ..STEP },
    Step { path: "/api/v1/auth/refresh", ..STEP },
    Step { method: "get", path: "/api/v1/products", query: &[("limit", "20")], ..STEP },
    Step {
        path: "/api/v1/cart/items",
        body: Some("{\n  \"product_id\": \"{{productId}}\",\n  \"quantity\": 1\n}"),
        ..STEP
    },
    Step { method: "get", path: "/api/v1/cart", ..STEP },
    Step {
        path: "/api/v1/orders",
        status: 202,
        body: Some("{\n  \"payment_token\": \"tok_visa\"\n}"),
        ..STEP
    },
    Step {
        method: "get",
        path: "/api/v1/orders/{id}",
        after: "const order = pm.response.json();
const asked = Number(pm.collectionVariables.get(\"asked\") || 0) + 1;
pm.collectionVariables.set(\"asked\", asked);
if ([\"pending\", \"reserved\"].includes(order.status) && asked < 100) {
    pm.execution.setNextRequest(pm.info.requestName);
    setTimeout(() => {}, 500);
} else {
    pm.collectionVariables.set(\"asked\", 0);
    pm.test(\"the order is paid\", () => pm.expect(order.status).to.equal(\"paid\"));
}",
        ..STEP
    },
];

/// The folder. A step whose service does not tell of itself at the moment is missing.
pub(super) fn folder(operations: &[Operation<'_>]) -> Value {
    let found = STEPS.iter().filter_map(|step| {
        let is = |operation: &&Operation<'_>| {
            (operation.method, operation.path) == (step.method, step.path)
        };
        Some((step, operations.iter().find(is)?))
    });
    let items = found.enumerate().map(|(n, (step, operation))| item(n + 1, step, operation));
    let description = "Opens an account, fills its cart, orders, and follows the order until it is paid. Run the folder.";
    json!({ "name": NAME, "description": description, "item": items.collect::<Vec<_>>() })
}

fn item(number: usize, step: &Step, operation: &Operation<'_>) -> Value {
    let mut item = operation.item();
    item["name"] = json!(format!("{number}. {}", operation.name()));
    if let Some(body) = step.body.and_then(|body| serde_json::from_str(body).ok()) {
        item["request"]["body"] = raw(&body);
    }
    for query in item["request"]["url"]["query"].as_array_mut().into_iter().flatten() {
        if let Some((_, value)) = step.query.iter().find(|(name, _)| query["key"] == **name) {
            query["value"] = json!(value);
            query["disabled"] = json!(false);
        }
    }
    let expected = format!("pm.test(\"{0}\", () => pm.response.to.have.status({0}));", step.status);
    let keeping = scripts::keeping(operation).unwrap_or_default();
    let after = [&expected, &keeping, step.after].join("\n");
    item["event"] = json!([scripts::test(after.trim_end())]);
    if let Some(events) = item["event"].as_array_mut().filter(|_| !step.before.is_empty()) {
        events.push(scripts::event("prerequest", step.before));
    }
    item
}
