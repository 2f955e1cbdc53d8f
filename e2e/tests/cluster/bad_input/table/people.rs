//! Who asks, and for what is whose.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::Setting;
use super::super::case::{By, Case};
use super::{ME, NOBODY, ORDERS, REGISTER, get, post};

/// What belongs to others looks as if it did not exist, and nobody is somebody else by saying so.
pub(super) fn strangers(setting: &Setting) -> Vec<Case> {
    let of = |rest: &str| format!("{ORDERS}/{}{rest}", setting.foreign_order);
    let admin = setting.admin_id.clone();
    let mut cases = vec![
        get("a foreign order", By::Customer, of("")).is(404, "not-found"),
        get("the history of a foreign order", By::Customer, of("/history")).is(404, "not-found"),
        post("a foreign order, cancelled", By::Customer, of("/cancel")).is(404, "not-found"),
        get(
            "the payment of a foreign order",
            By::Customer,
            format!("/api/v1/payments/{}", setting.foreign_order),
        )
        .is(404, "not-found"),
        post("a customer ships", By::Customer, of("/ship")).is(403, "forbidden"),
        get("a customer searches all orders", By::Customer, format!("{ORDERS}/search"))
            .is(403, "forbidden"),
        get("a customer lists accounts", By::Customer, "/api/v1/users").is(403, "forbidden"),
        get("a customer lists payments", By::Customer, "/api/v1/payments").is(403, "forbidden"),
        get("a customer lists stock", By::Customer, "/api/v1/stock").is(403, "forbidden"),
        get("an order that is no id", By::Customer, format!("{ORDERS}/1%20OR%201=1"))
            .is(404, "not-found"),
        get("an order of the path", By::Customer, format!("{ORDERS}/..%2f..%2fusers"))
            .is(404, "not-found"),
        get("a guest says who they are", By::Guest, ME)
            .header("X-User-Id", admin.clone())
            .is(401, "unauthenticated"),
        get("a guest says what they may", By::Guest, "/api/v1/users")
            .header("X-User-Id", admin.clone())
            .header("X-Roles", "admin")
            .is(401, "unauthenticated"),
        get("a customer says to be another", By::Customer, of(""))
            .header("X-User-Id", admin)
            .header("X-Role", "admin")
            .is(404, "not-found"),
        get("a guest comes from the inside", By::Guest, ME)
            .header("X-Forwarded-For", "127.0.0.1")
            .header("Forwarded", "for=127.0.0.1")
            .header("X-Real-IP", "127.0.0.1")
            .is(401, "unauthenticated"),
        get("Basic", By::Guest, ME)
            .header("Authorization", "Basic YTpi")
            .is(401, "unauthenticated"),
    ];
    cases.extend(setting.forged.iter().map(|(what, token)| {
        get(what, By::Guest, ME)
            .header("Authorization", format!("Bearer {token}"))
            .is(401, "unauthenticated")
    }));
    let refresh = |what, token: &str| {
        let body = json!({"refresh_token": token}).to_string();
        post(what, By::Guest, "/api/v1/auth/refresh").json(body).is(401, "invalid-refresh-token")
    };
    cases.extend([
        refresh("a refresh token of *", "*"),
        refresh("a refresh token of %", "%"),
        refresh("no refresh token", ""),
        refresh("an access token to refresh", setting.customer.access_token()),
        post("many refresh tokens", By::Guest, "/api/v1/auth/refresh")
            .json(r#"{"refresh_token": ["*"]}"#),
    ]);
    cases
}

pub(super) fn passwords() -> Vec<Case> {
    let account = |what, password: &str| {
        let body = json!({"email": "bad@example.com", "password": password}).to_string();
        post(what, By::Guest, REGISTER).json(body)
    };
    let mail = |what, email: &str| {
        let body = json!({"email": email, "password": "correct horse battery"}).to_string();
        post(what, By::Guest, REGISTER).json(body)
    };
    let huge = "p".repeat(10 << 20);
    let login = json!({"email": "bad@example.com", "password": huge}).to_string();
    vec![
        account("a password of 10 MB", &huge).is(413, "body-too-large"),
        post("a login with 10 MB", By::Guest, "/api/v1/auth/login")
            .json(login)
            .is(413, "body-too-large"),
        account("a password of half a megabyte", &"p".repeat(512 << 10)),
        account("a password of 129 characters", &"p".repeat(129)),
        account("a password of 7 characters", "secret7"),
        account("a password that everybody has", "password"),
        account("no password", ""),
        mail("an address without a host", "ada"),
        mail("an address of two lines", "ada@example.com\r\nBcc: all@example.com"),
        mail("an address of 300 characters", &format!("{}@example.com", "a".repeat(300))),
    ]
}

pub(super) fn staff(setting: &Setting) -> Vec<Case> {
    let of = |rest: &str| format!("/api/v1/stock/{}/{rest}", setting.sku);
    let add = |what, rest, body: &str| post(what, By::Admin, of(rest)).key().json(body);
    vec![
        post("a customer corrects the stock", By::Customer, of("adjustments"))
            .key()
            .json(r#"{"delta": 1}"#)
            .is(403, "forbidden"),
        add("a correction of 0", "adjustments", r#"{"delta": 0}"#),
        add("a correction that overflows", "adjustments", r#"{"delta": 9223372036854775807}"#),
        add("a correction of 2^63", "adjustments", r#"{"delta": 9223372036854775808}"#),
        add("more taken away than there is", "adjustments", r#"{"delta": -999999999}"#)
            .is(409, "conflict"),
        add("a supply of 0", "supplies", r#"{"quantity": 0}"#),
        add("a supply of -1", "supplies", r#"{"quantity": -1}"#),
        add("a supply that overflows", "supplies", r#"{"quantity": 9223372036854775807}"#),
        add(
            "an announcement of the past",
            "announcements",
            r#"{"quantity": 1, "expected_on": "2001-01-01"}"#,
        ),
        add(
            "an announcement of no day",
            "announcements",
            r#"{"quantity": 1, "expected_on": "2025-02-30"}"#,
        ),
        post("a SKU that is none", By::Admin, "/api/v1/stock/mug%20red/adjustments")
            .key()
            .json(r#"{"delta": 1}"#)
            .is(404, "not-found"),
        post("a category of no slug", By::Admin, "/api/v1/categories")
            .json(r#"{"slug": "../mugs", "name": "Bad"}"#),
        Case::new(
            "a role that is none",
            By::Admin,
            Method::PUT,
            format!("/api/v1/users/{NOBODY}/roles"),
        )
        .header("If-Match", "\"1\"")
        .json(r#"{"roles": ["root"]}"#),
        Case::new("no roles", By::Admin, Method::PUT, format!("/api/v1/users/{NOBODY}/roles"))
            .header("If-Match", "\"1\"")
            .json(r#"{"roles": []}"#),
        Case::new(
            "an account that nobody has",
            By::Admin,
            Method::PUT,
            format!("/api/v1/users/{NOBODY}/blocked"),
        )
        .header("If-Match", "\"1\"")
        .json(r#"{"blocked": true}"#)
        .is(404, "not-found"),
    ]
}

pub(super) fn shoppers(setting: &Setting) -> Vec<Case> {
    let review = |what, rating: Value| {
        let path = format!("/api/v1/products/{}/reviews", setting.product);
        post(what, By::Customer, path).json(json!({"rating": rating, "text": "Bad"}).to_string())
    };
    vec![
        review("a rating of 0", json!(0)),
        review("a rating of 6", json!(6)),
        review("a rating of 4.5", json!(4.5)),
        review("a rating of -2^31", json!(-2_147_483_648_i64)),
        review("a review of what was not received", json!(1)).is(403, "product-not-received"),
        Case::new(
            "a channel that is none",
            By::Customer,
            Method::PUT,
            "/api/v1/notifications/preferences",
        )
        .json(r#"{"email": true, "pigeon": true}"#),
        get("live updates without a socket", By::Customer, "/api/v1/live")
            .is(426, "upgrade-required"),
        Case::new(
            "a favourite that is no id",
            By::Customer,
            Method::PUT,
            format!("{ME}/favourites/mug"),
        )
        .is(404, "not-found"),
        post("another password without the old one", By::Customer, "/api/v1/auth/reset-password")
            .json(r#"{"token": "*", "new_password": "correct horse battery"}"#)
            .is(400, "invalid-email-token"),
    ]
}
