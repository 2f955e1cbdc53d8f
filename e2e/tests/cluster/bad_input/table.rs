//! The table. "Bad input to try everywhere", and what others have fallen for.

mod forms;
mod images;
mod money;
mod people;

use reqwest::Method;
use serde_json::Value;

use super::case::{By, Case};
use super::{Setting, webhooks};

/// There are at least so many rows: a table that has lost its rows proves nothing.
pub(super) const LEAST: usize = 140;

const ORDERS: &str = "/api/v1/orders";
const REGISTER: &str = "/api/v1/auth/register";
const ME: &str = "/api/v1/me";
/// An id that nothing has.
const NOBODY: &str = "01900000-0000-7000-8000-000000000000";

/// All rows.
pub(super) fn cases(setting: &Setting) -> Vec<Case> {
    [
        money::quantities(setting),
        money::products(setting),
        people::strangers(setting),
        people::passwords(),
        forms::texts(setting),
        forms::lists(),
        forms::versions(setting),
        forms::keys(setting),
        forms::requests(setting),
        people::staff(setting),
        people::shoppers(setting),
        images::uploads(setting),
        webhooks::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn post(what: &'static str, by: By, path: impl Into<String>) -> Case {
    Case::new(what, by, Method::POST, path)
}

fn get(what: &'static str, by: By, path: impl Into<String>) -> Case {
    Case::new(what, by, Method::GET, path)
}

/// An order of the customer's, with a payment token unless it has one.
fn order(what: &'static str, body: &Value) -> Case {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.entry("payment_token").or_insert_with(|| "tok_visa".into());
    }
    post(what, By::Customer, ORDERS).key().json(body.to_string())
}
