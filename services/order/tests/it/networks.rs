//! What accounts without a verified e-mail address may hold from one client network.

use contracts::events::PaymentActionRequired;
use contracts::limits::NETWORK_ORDERS;
use contracts::{OrderId, PaymentId, UserId};
use kit::auth::Claims;
use kit::testing::{Signer, eventually};
use reqwest::Response;
use uuid::Uuid;

use crate::world::{World, captured, json_of, stock_reserved};

const HERE: &str = "203.0.113.7";
const ELSEWHERE: &str = "203.0.113.8";

const UNVERIFIED: Option<bool> = Some(false);
const VERIFIED: Option<bool> = Some(true);

/// An account of its own orders from this address.
async fn order_from(world: &World, address: &str, email_verified: Option<bool>) -> Response {
    let claims = Claims { email_verified, ..Signer::claims(UserId::new(), &[]) };
    let request = world.service.request("POST", "/api/v1/orders");
    let request = request.bearer_auth(world.service.signer.sign(&claims));
    let request = request.header("X-Forwarded-For", address);
    let request = request.header("Idempotency-Key", Uuid::now_v7().to_string());
    request.json(&world.wish()).send().await.unwrap()
}

async fn placed(world: &World, address: &str, email_verified: Option<bool>) -> OrderId {
    let order = json_of(order_from(world, address, email_verified).await, 202).await;
    order["id"].as_str().unwrap().parse().unwrap()
}

async fn refused(world: &World, address: &str) {
    let problem = json_of(order_from(world, address, UNVERIFIED).await, 409).await;
    assert_eq!(problem["type"], "/problems/too-many-unconfirmed-orders");
}

async fn comes_to(world: &World, order: OrderId, state: &str) {
    eventually(&format!("{order} is {state}"), async || {
        let found = sqlx::query("SELECT FROM orders WHERE id = $1 AND state::text = $2");
        let found = found.bind(order.uuid()).bind(state).fetch_optional(world.service.pool());
        found.await.unwrap()
    })
    .await;
}

/// The order waits for a second step of its payment.
async fn wait_for_confirmation(world: &World, order_id: OrderId) {
    world.service.publish(&stock_reserved(order_id)).await;
    comes_to(world, order_id, "reserved").await;
    let url = "https://bank.example/confirm".to_owned();
    let (payment_id, user_id) = (PaymentId::new(), world.user);
    let required = PaymentActionRequired { order_id, payment_id, user_id, url };
    let event = world.service.publish(&required).await;
    world.dealt_with(event).await;
}

/// Lets all second steps have begun so long ago.
async fn waited(world: &World, seconds: f64) {
    let since = "UPDATE second_steps SET since = now() - make_interval(secs => $1)";
    sqlx::query(since).bind(seconds).execute(world.service.pool()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_has_few_unconfirmed_orders_of_unverified_accounts() {
    let world = World::start().await;
    let mut orders = Vec::new();
    for n in 0..NETWORK_ORDERS {
        // All of them have the same /64.
        orders.push(placed(&world, &format!("2001:db8::{n:x}"), UNVERIFIED).await);
    }
    for order in &orders {
        wait_for_confirmation(&world, *order).await;
    }
    let (here, elsewhere) = ("2001:db8::ffff", "2001:db8:0:1::1");
    waited(&world, 30.0).await;
    placed(&world, here, UNVERIFIED).await;
    waited(&world, 61.0).await;
    refused(&world, here).await;
    // Neither accounts that are verified, or signed in with a token of an older release, nor other networks.
    placed(&world, here, VERIFIED).await;
    placed(&world, here, None).await;
    placed(&world, elsewhere, UNVERIFIED).await;

    world.service.publish(&captured(orders[0])).await;
    comes_to(&world, orders[0], "paid").await;
    placed(&world, here, UNVERIFIED).await;
}

#[tokio::test]
async fn unconfirmed_orders_of_unverified_accounts_hold_few_units_in_a_network() {
    // Each order has three.
    let world = World::start_with(&[("OPEN_UNITS", "5")]).await;
    let verified = placed(&world, HERE, VERIFIED).await;
    wait_for_confirmation(&world, verified).await;
    let proxied = placed(&world, "10.1.2.3", UNVERIFIED).await;
    wait_for_confirmation(&world, proxied).await;
    waited(&world, 61.0).await;
    placed(&world, "10.1.2.3", UNVERIFIED).await;
    let unverified = placed(&world, HERE, UNVERIFIED).await;
    wait_for_confirmation(&world, unverified).await;
    placed(&world, HERE, UNVERIFIED).await;
    waited(&world, 61.0).await;
    refused(&world, HERE).await;
    placed(&world, HERE, VERIFIED).await;
    placed(&world, ELSEWHERE, UNVERIFIED).await;
}

#[tokio::test]
async fn the_network_of_an_order_is_forgotten_when_it_is_open_no_longer() {
    let mut world = World::start().await;
    let (paid, open) =
        (placed(&world, HERE, UNVERIFIED).await, placed(&world, HERE, UNVERIFIED).await);
    placed(&world, HERE, VERIFIED).await;
    let stored = async |world: &World| {
        let stored = "SELECT order_id FROM order_networks ORDER BY order_id";
        let stored: Vec<Uuid> =
            sqlx::query_scalar(stored).fetch_all(world.service.pool()).await.unwrap();
        stored
    };
    assert_eq!(stored(&world).await, [paid.uuid(), open.uuid()]);
    world.service.publish(&stock_reserved(paid)).await;
    world.service.publish(&captured(paid)).await;
    comes_to(&world, paid, "paid").await;
    // The sweeper looks when it starts, and every minute.
    world.service.restart::<order::Order>(&[]).await;
    eventually("the network is forgotten", async || {
        (stored(&world).await == [open.uuid()]).then_some(())
    })
    .await;
}
