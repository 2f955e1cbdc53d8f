//! Cursors and queries that were never issued: refused, and never an error of ours.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::UserId;
use serde_json::{Value, json};

use crate::{add, answer, start};

const LIST: &str = "/api/v1/products";

/// A cursor of this order with these fields in place of the usual ones.
fn cursor(sort: &str, fields: &Value) -> String {
    let mut position = json!({
        "sort": sort, "id": "018f0000-0000-7000-8000-000000000000", "rating": 3.0, "rank": 0.0,
        "created_at": "2026-01-01T00:00:00Z", "price": 990, "name": "Red Mug",
    });
    for (name, value) in fields.as_object().unwrap() {
        position[name] = value.clone();
    }
    URL_SAFE_NO_PAD.encode(position.to_string())
}

#[tokio::test]
async fn forged_cursors_are_refused() {
    let shop = start(&[]).await;
    add(&shop, UserId::new(), json!({})).await;
    for (sort, fields) in [
        ("name", json!({"name": "a\0b"})),
        ("newest", json!({"created_at": "+262142-12-31T23:59:59Z"})),
        ("newest", json!({"created_at": "-262143-01-01T00:00:00Z"})),
        ("newest", json!({"created_at": "-4800-01-01T00:00:00Z"})),
        ("newest", json!({"created_at": "2026-01-01T00:00:00Z\0"})),
        ("price", json!({"price": 9_223_372_036_854_775_808_u64})),
        ("price", json!({"price": 1e300})),
        ("-price", json!({"id": "018f"})),
        ("rating", json!({"rating": "NaN"})),
        ("rating", json!({"rating": 1e39})),
        ("relevance", json!({"rank": -1e39})),
        ("relevance", json!({"respelt": {"a | b": ["c"]}})),
        ("relevance", json!({"respelt": {"chiar": ["cha\0ir"]}})),
        ("dearest", json!({})),
    ] {
        let query = format!("q=mug&sort={sort}&cursor={}", cursor(sort, &fields));
        let (status, problem) = answer(shop.request("GET", &format!("{LIST}?{query}"))).await;
        assert_eq!(status, 400, "{sort} {fields}: {problem}");
    }
    // Well-formed, whatever it leads to.
    for (sort, fields) in [
        ("name", json!({"name": "x".repeat(5000)})),
        ("newest", json!({"created_at": "9999-12-31T23:59:59Z"})),
        ("price", json!({"price": i64::MIN})),
        ("-price", json!({"price": i64::MAX})),
        ("rating", json!({"rating": 3e38})),
        ("relevance", json!({"respelt": {"chiar": ["chair"]}})),
    ] {
        let query = format!("q=mug&sort={sort}&cursor={}", cursor(sort, &fields));
        let (status, page) = answer(shop.request("GET", &format!("{LIST}?{query}"))).await;
        assert_eq!(status, 200, "{sort} {fields}: {page}");
    }
}

#[tokio::test]
async fn queries_of_any_kind_are_no_error_of_ours() {
    let shop = start(&[]).await;
    add(&shop, UserId::new(), json!({"attributes": {"colour": "red"}})).await;
    for (query, expected) in [
        ("q=%00", 400),
        ("category=%00", 400),
        ("attribute=colour:%00", 400),
        ("attribute=%00:red", 400),
        ("attribute=colour", 400),
        ("price_min=9223372036854775808", 400),
        ("price_min=1e3", 400),
        ("rating_min=NaN", 400),
        ("rating_min=inf", 400),
        ("rating_min=1e400", 400),
        ("in_stock=%00", 400),
        ("%00=1", 400),
        ("price_min=-9223372036854775808&price_max=9223372036854775807", 200),
        ("price_min=9&price_max=1", 200),
        ("q=%F0%9F%98%80", 200),
        ("q=%22%22%22%20or%20or%20-%20-%22", 200),
        ("q=!%26%7C()%3A*%3C-%3E%5C%27", 200),
        ("q=%E2%80%AE", 200),
        ("attribute=%22%5C%5C:%22)%20%7C%7C%20true%20%7C%7C%20(%22", 200),
        ("attribute=$.a:%7B%7D", 200),
        ("attribute=colour:%1F%7F", 200),
        ("category=%25", 200),
    ] {
        for list in [LIST, "/api/v1/products/facets"] {
            let path = format!("{list}?{query}");
            let (status, body) = answer(shop.request("GET", &path)).await;
            assert_eq!(status.as_u16(), expected, "{path}: {body}");
        }
    }
    for query in
        ["limit=99999999999999999999", "page=4294967296", "page=-1", "cursor=%00", "sort=x"]
    {
        let (status, body) = answer(shop.request("GET", &format!("{LIST}?{query}"))).await;
        assert_eq!(status, 400, "{query}: {body}");
    }
}
