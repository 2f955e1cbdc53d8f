//! What is bought, for how much, and what is sold.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::case::{By, Case};
use super::super::{Setting, many};
use super::{NOBODY, order, post};

pub(super) fn quantities(setting: &Setting) -> Vec<Case> {
    let item = |quantity: Value| json!({"product_id": setting.product, "quantity": quantity});
    let of = |quantity: Value| json!({"items": [item(quantity)]});
    let in_cart = |what, quantity: Value| {
        post(what, By::Customer, "/api/v1/cart/items").json(item(quantity).to_string())
    };
    let stated = |what, quantity: Value| {
        let path = format!("/api/v1/cart/items/{}", setting.product);
        let body = json!({"quantity": quantity}).to_string();
        Case::new(what, By::Customer, Method::PUT, path).json(body)
    };
    vec![
        order("an order of 0", &of(json!(0))),
        order("an order of -1", &of(json!(-1))),
        order("an order of 2^31", &of(json!(2_147_483_648_u64))),
        order("an order of 2^63", &of(json!(9_223_372_036_854_775_808_u64))),
        order("an order of 10001", &of(json!(10_001))),
        order("an order of one and a half", &of(json!(1.5))),
        order("an order of \"1\"", &of(json!("1"))),
        order("an order of null", &of(json!(null))),
        order("an order of lines that together are too many", &many(&item(json!(10_000)), 2)),
        order("an order of nothing", &json!({"items": []})),
        order("an order of 101 lines", &many(&item(json!(1)), 101)),
        order("an order of 10 000 lines", &many(&item(json!(1)), 10_000)),
        order("an order of 100 000 lines", &many(&item(json!(1)), 100_000))
            .is(413, "body-too-large"),
        order("an order of no object", &json!([])),
        order(
            "an order of a thing that is no id",
            &json!({"items": [{"product_id": "%", "quantity": 1}]}),
        ),
        order(
            "an order of a thing that nobody has",
            &json!({"items": [{"product_id": NOBODY, "quantity": 1}]}),
        ),
        in_cart("0 into the cart", json!(0)),
        in_cart("-1 into the cart", json!(-1)),
        in_cart("2^31 into the cart", json!(2_147_483_648_u64)),
        in_cart("10001 into the cart", json!(10_001)),
        stated("a cart's line of -1", json!(-1)),
        stated("a cart's line of 2^31", json!(2_147_483_648_u64)),
    ]
}

/// What the price is, and what it is in, is the catalog's to say; and the catalog's bounds are such that no total of an
/// order can overflow.
pub(super) fn products(setting: &Setting) -> Vec<Case> {
    let priced = |what, price: Value| {
        let body =
            json!({"sku": "BAD-1", "name": "Bad", "category": setting.category, "price": price});
        post(what, By::Admin, "/api/v1/products").json(body.to_string())
    };
    let line = |more: (&str, Value)| {
        let mut item = json!({"product_id": setting.product, "quantity": 1});
        item[more.0] = more.1;
        json!({"items": [item]})
    };
    vec![
        order("the client names its price", &line(("unit_price", json!(1)))),
        order(
            "the client names its price as money",
            &line(("price", json!({"amount": 1, "currency": "EUR"}))),
        ),
        order("the client names the total", &json!({"total": {"amount": 1, "currency": "EUR"}})),
        order("the client names the account", &json!({"user_id": NOBODY})),
        priced("a currency that is none", json!({"amount": 100, "currency": "XXX"})),
        priced("a currency in words", json!({"amount": 100, "currency": "euro"})),
        priced("a currency that is not the shop's", json!({"amount": 100, "currency": "USD"})),
        priced("a price of 0", json!({"amount": 0, "currency": "EUR"})),
        priced("a price below 0", json!({"amount": -1, "currency": "EUR"})),
        priced("a price that overflows", json!({"amount": i64::MAX, "currency": "EUR"})),
        priced(
            "a price of 2^63",
            json!({"amount": 9_223_372_036_854_775_808_u64, "currency": "EUR"}),
        ),
        priced("a price with a point", json!({"amount": 19.99, "currency": "EUR"})),
        post("a customer sells", By::Customer, "/api/v1/products")
            .json(
                json!({"sku": "BAD-1", "name": "Bad", "category": setting.category,
                "price": {"amount": 100, "currency": "EUR"}})
                .to_string(),
            )
            .is(403, "forbidden"),
        post("a guest sells", By::Guest, "/api/v1/products").json("{}").is(401, "unauthenticated"),
        post("a product of another's SKU", By::Admin, "/api/v1/products")
            .json(
                json!({"sku": setting.sku, "name": "Bad", "category": setting.category,
                "price": {"amount": 100, "currency": "EUR"}})
                .to_string(),
            )
            .is(409, "sku-taken"),
    ]
}
