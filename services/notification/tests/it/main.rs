//! The notification service against real engines.
#![expect(clippy::unwrap_used, reason = "a test")]

mod codes;
mod live;
mod mails;
mod names;
mod news;
mod preferences;
mod products;
mod purge;
mod texts;

use contracts::events::{OrderLine, OrderPaid, OrderPlaced, UserRegistered};
use contracts::{Currency, Money, OrderId, ProductId, UserId, env};
use kit::testing::{Running, check_openapi, engine};
use notification::Notification;

#[test]
fn openapi() {
    check_openapi::<Notification>(env!("CARGO_MANIFEST_DIR"));
}

async fn start() -> Running {
    start_with_mail_server(&engine("TEST_SMTP_URL")).await
}

async fn start_with_mail_server(url: &str) -> Running {
    start_with(url, &[]).await
}

async fn start_with(mail: &str, further: &[(&str, &str)]) -> Running {
    let mut variables = vec![
        (env::SMTP_URL, mail),
        (env::MAIL_FROM, "Test <shop@example.com>"),
        (env::PUBLIC_URL, "https://shop.example/"),
    ];
    variables.extend_from_slice(further);
    Running::start::<Notification>(&variables).await
}

/// A registration with an address of its own.
fn registered(name: &str) -> UserRegistered {
    let user_id = UserId::new();
    UserRegistered { user_id, email: format!("{user_id}@example.com"), name: name.to_owned() }
}

fn lines(product: &str) -> Vec<OrderLine> {
    vec![OrderLine {
        product_id: ProductId::new(),
        sku: "MUG-01-C".parse().unwrap(),
        name: product.to_owned(),
        quantity: 2,
        unit_price: Money::new(990, Currency::EUR),
    }]
}

fn placed(user_id: UserId, order_id: OrderId) -> OrderPlaced {
    let total = Money::new(1980, Currency::EUR);
    let expires_at = chrono::Utc::now();
    OrderPlaced { order_id, user_id, lines: lines("Red Mug"), total, expires_at, source: None }
}

fn paid(user_id: UserId, order_id: OrderId) -> OrderPaid {
    let total = Money::new(1980, Currency::EUR);
    OrderPaid { order_id, user_id, lines: lines("Red Mug"), total, source: None }
}
