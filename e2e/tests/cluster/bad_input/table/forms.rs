//! How it is said: texts, lists, versions, keys, JSON, HTTP.

use reqwest::Method;
use serde_json::json;

use super::super::Setting;
use super::super::case::{By, Case};
use super::{ME, ORDERS, REGISTER, get, post};

/// Bytes that are no text, and text that is a pattern somewhere inside.
pub(super) fn texts(setting: &Setting) -> Vec<Case> {
    let register = |what, body: Vec<u8>| {
        post(what, By::Guest, REGISTER).json(body).is(400, "malformed-request")
    };
    let account = |name: &str| {
        format!(
            r#"{{"email": "bad@example.com", "password": "correct horse battery", "name": "{name}"}}"#
        )
    };
    let mut not_utf8 = account("~").into_bytes();
    for byte in &mut not_utf8 {
        if *byte == b'~' {
            *byte = 0xff;
        }
    }
    let found = |what, query: &str| get(what, By::Guest, format!("/api/v1/products?{query}"));
    vec![
        register("NUL", account("\\u0000").into_bytes()),
        register("half of a surrogate pair", account("\\ud800").into_bytes()),
        register("bytes that are not UTF-8", not_utf8),
        register("an unfinished escape", account("\\u00").into_bytes()),
        found("NUL in a query", "q=%00").is(400, "malformed-request"),
        get("NUL in a path", By::Customer, format!("{ORDERS}/%00")).is(404, "not-found"),
        get("NUL in a SKU", By::Guest, "/api/v1/stock/%00").is(404, "not-found"),
        found("a search of 201 characters", &format!("q={}", "a".repeat(201)))
            .is(400, "malformed-request"),
        found("the pattern %", "q=%25").finds_nothing(),
        found("the pattern _", "q=_").finds_nothing(),
        found("an unfinished query of text search", "q=%26%20%7C%20!%20(%3A*").finds_nothing(),
        found("SQL", "q=zzz'%20OR%20'1'='1").finds_nothing(),
        found("a category of %", "category=%25").finds_nothing(),
        get("a SKU of %", By::Guest, "/api/v1/stock/%25").is(404, "not-found"),
        get("orders of the SKU %", By::Admin, format!("{ORDERS}/search?sku=%25"))
            .is(400, "malformed-request"),
        post("a name of 101 characters", By::Customer, "/api/v1/me/addresses").json(
            json!({"recipient": "a".repeat(201), "line1": "1", "city": "L", "country": "GB"})
                .to_string(),
        ),
        post("a country that is none", By::Customer, "/api/v1/me/addresses").json(
            json!({"recipient": "A", "line1": "1", "city": "L", "country": "XX1"}).to_string(),
        ),
        post(
            "text that is too long",
            By::Customer,
            format!("/api/v1/products/{}/reviews", setting.product),
        )
        .json(json!({"rating": 5, "text": "a".repeat(4001)}).to_string()),
    ]
}

pub(super) fn lists() -> Vec<Case> {
    let mut cases = Vec::new();
    for (by, path) in [
        (By::Guest, "/api/v1/products"),
        (By::Guest, "/api/v1/categories"),
        (By::Customer, ORDERS),
        (By::Customer, "/api/v1/notifications"),
        (By::Customer, "/api/v1/me/favourites"),
        (By::Admin, "/api/v1/users"),
        (By::Admin, "/api/v1/payments"),
        (By::Admin, "/api/v1/stock"),
        (By::Admin, "/api/v1/reviews/reported"),
    ] {
        let queries = [
            "limit=1000000000",
            "limit=0",
            "limit=-1",
            "limit=1e3",
            "page=0",
            "cursor=%25",
            "cursor=AAAA",
        ];
        // Of categories there are few: they are a list in one piece, which has no such parameters.
        let queries = if path.ends_with("categories") { &queries[..0] } else { &queries[..] };
        let bad = |query: &&str| get("a page that is none", by, format!("{path}?{query}"));
        cases.extend(queries.iter().map(bad).map(|case| case.is(400, "malformed-request")));
    }
    let found = |what, query| get(what, By::Guest, format!("/api/v1/products?{query}"));
    cases.extend([
        found("a page far away", "page=4294967295&limit=100").is(400, "malformed-request"),
        found("a parameter that is none", "price=1").is(400, "malformed-request"),
        found("a parameter twice", "limit=1&limit=2").is(400, "malformed-request"),
        found("a price that is none", "price_min=cheap").is(400, "malformed-request"),
        found("an order that is none", "sort=random()").is(400, "malformed-request"),
    ]);
    cases
}

/// `If-Match`: missing, old, of others, nonsense.
pub(super) fn versions(setting: &Setting) -> Vec<Case> {
    let mut cases = Vec::new();
    let product = format!("/api/v1/products/{}", setting.product);
    let threshold = format!("/api/v1/stock/{}/threshold", setting.sku);
    let category = format!("/api/v1/categories/{}", setting.category);
    for (by, method, path, body) in [
        (By::Customer, Method::PATCH, ME.to_owned(), r#"{"name": "Bad"}"#),
        (By::Admin, Method::PATCH, product.clone(), r#"{"name": "Bad"}"#),
        (By::Admin, Method::DELETE, product, ""),
        (By::Admin, Method::PATCH, category, r#"{"name": "Bad"}"#),
        (By::Admin, Method::PUT, threshold, r#"{"low_threshold": 1}"#),
    ] {
        let change = |what| {
            let case = Case::new(what, by, method.clone(), path.clone());
            if body.is_empty() { case } else { case.json(body) }
        };
        cases.extend([
            change("a change without a version").is(428, "version-required"),
            change("an old version").header("If-Match", "\"999999\"").is(412, "stale-version"),
            change("a negative version").header("If-Match", "\"-1\"").is(412, "stale-version"),
            change("any version").header("If-Match", "*").is(412, "stale-version"),
            change("a version that is no text")
                .header("If-Match", vec![b'"', 0xff, b'"'])
                .is(412, "stale-version"),
        ]);
    }
    cases
}

/// `Idempotency-Key`: missing, empty, too long, spent.
pub(super) fn keys(setting: &Setting) -> Vec<Case> {
    let item = json!({"product_id": setting.product, "quantity": 2});
    let body = json!({"items": [item], "payment_token": "tok_visa"}).to_string();
    let supplies = format!("/api/v1/stock/{}/supplies", setting.sku);
    let place = |what| post(what, By::Customer, ORDERS).json(body.clone());
    vec![
        place("no key").is(400, "idempotency-key-missing"),
        place("an empty key").header("Idempotency-Key", "").is(400, "malformed-request"),
        place("a key of 256 characters")
            .header("Idempotency-Key", "k".repeat(256))
            .is(400, "malformed-request"),
        place("a key that is no text")
            .header("Idempotency-Key", vec![0xff])
            .is(400, "malformed-request"),
        place("a spent key for something else")
            .header("Idempotency-Key", setting.spent_key.clone())
            .is(422, "idempotency-key-reused"),
        post("units without a key", By::Admin, supplies)
            .json(r#"{"quantity": 1}"#)
            .is(400, "idempotency-key-missing"),
    ]
}

/// What no endpoint in particular is asked.
pub(super) fn requests(setting: &Setting) -> Vec<Case> {
    let item = json!({"product_id": setting.product, "quantity": 1}).to_string();
    let add = |what| post(what, By::Customer, "/api/v1/cart/items");
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(50_000), close.repeat(50_000));
    let other = |what, method: Method, path: &str| {
        Case::new(what, By::Customer, method, path).is(405, "method-not-allowed")
    };
    vec![
        add("no media type").body(item.clone()).is(415, "unsupported-media-type"),
        add("text")
            .header("Content-Type", "text/plain")
            .body(item.clone())
            .is(415, "unsupported-media-type"),
        add("a form")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body("quantity=1")
            .is(415, "unsupported-media-type"),
        add("no body").json("").is(400, "malformed-request"),
        add("JSON that breaks off").json(&item[..20]).is(400, "malformed-request"),
        add("JSON with a comma too many").json(format!("[{item},]")).is(422, "invalid-fields"),
        add("more after the JSON").json(format!("{item} {item}")).is(400, "malformed-request"),
        add("NaN").json(r#"{"quantity": NaN}"#).is(400, "malformed-request"),
        add("a field twice").json(item.replacen('{', r#"{"quantity": 2, "#, 1)),
        add("a field that nobody knows").json(item.replacen('{', r#"{"__proto__": {}, "#, 1)),
        add("deep lists").json(deep("[", "]")),
        add("a deep field").json(format!(r#"{{"product_id": {}}}"#, deep("[", "]"))),
        add("deep objects in an unknown field").json(deep(r#"{"a":"#, "}").replace("::", ":1")),
        other("PUT of orders", Method::PUT, ORDERS),
        other("DELETE of orders", Method::DELETE, ORDERS),
        other("PATCH of the cart", Method::PATCH, "/api/v1/cart"),
        other("POST of an account", Method::POST, ME),
        other("GET of a login", Method::GET, "/api/v1/auth/login"),
        other("DELETE of a stock", Method::DELETE, &format!("/api/v1/stock/{}", setting.sku)),
        get("a path that is none", By::Guest, "/api/v1/nothing").is(404, "not-found"),
        get("no path of the API", By::Guest, "/wp-login.php").is(404, "not-found"),
        get("the figures of the inside", By::Guest, "/metrics").is(404, "not-found"),
        get("a file of the machine", By::Guest, "/problems/..%2f..%2fetc%2fpasswd")
            .is(404, "not-found"),
        get("many small headers", By::Customer, ME).many_headers(200).beyond_http(431),
        get("a header of 100 000 characters", By::Customer, ME)
            .header("X-Long", "a".repeat(100_000))
            .beyond_http(431),
        get("a header of a megabyte", By::Customer, ME)
            .header("X-Large", vec![b'a'; 1 << 20])
            .beyond_http(431),
        get("a path of 60 000 characters", By::Guest, format!("/{}", "a".repeat(60_000)))
            .is(404, "not-found"),
    ]
}
