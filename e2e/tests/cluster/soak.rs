//! A thousand buyers, ten units, and everything that breaks at once.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use e2e::echo;
use e2e::eventually;
use e2e::invariants::Databases;
use e2e::kubectl::Address;
use e2e::shopper::Shopper;
use futures_util::future::try_join_all;
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::faults;
use crate::rules;
use crate::world::{READY_PATIENCE, SHOP, World};

const UNITS: u64 = 10;
const BUYERS: usize = 1000;
/// They come in waves. Something breaks in each but the last.
const WAVE: usize = 100;
/// Of a wave so many are at the door at once.
const AT_ONCE: usize = 20;
/// Who is killed in each wave: in place, and with their pods. A pod that is started again and again is made to wait.
const VICTIMS: [(&[&str], &[&str]); 9] = [
    (&["order"], &[]),
    (&["payment"], &[]),
    (&["inventory"], &[]),
    (&["gateway"], &[]),
    (&[], &["order", "inventory"]),
    (&[], &["payment", "order"]),
    (&["inventory"], &["payment"]),
    (&[], &["gateway", "order"]),
    (&["order", "payment", "inventory"], &[]),
];

/// Somebody who has ordered one unit.
struct Buyer {
    shopper: Shopper,
    token: &'static str,
    order: String,
}

/// How a buyer pays. While things break only few can, so that what is held is given back and sold again; whoever
/// comes in the last wave can, so that what is left then is sold.
fn token(buyer: usize) -> &'static str {
    match (buyer >= BUYERS - WAVE, buyer % WAVE) {
        (true, n) if n % 2 == 0 => "tok_timeout",
        (true, _) | (false, 90) => "tok_visa",
        (false, 40) => "tok_timeout",
        (false, n) if n % 2 == 0 => "tok_declined",
        (false, _) => "tok_insufficient",
    }
}

/// A thousand order one of ten units each. Exactly ten get and pay for it.
pub(crate) async fn ten_units(world: World) -> Result<()> {
    let (sku, product) = put_on_sale(&world).await?;
    let at = world.gateway().await?;
    let databases = Databases::of(&world.kubectl, SHOP).await?;
    let mut buyers = Vec::with_capacity(BUYERS);
    for (wave, victims) in VICTIMS.iter().enumerate() {
        let come = wave * WAVE..(wave + 1) * WAVE;
        let breaks = break_things(&world, &databases, victims);
        let (come, ()) = tokio::try_join!(arrive(&at, &product, come), breaks)?;
        buyers.extend(come);
    }
    let mut paid = Vec::new();
    for buyer in &mut buyers {
        paid.extend(end(buyer).await?);
    }
    let taken = u64::try_from(paid.len())?;
    ensure!(taken <= UNITS, "{taken} of {UNITS} units were sold");
    eventually("what was held is given back", READY_PATIENCE, async || {
        stock(&databases, &sku, UNITS - taken).await
    })
    .await?;
    for mut buyer in arrive(&at, &product, buyers.len()..BUYERS).await? {
        paid.extend(end(&mut buyer).await?);
        buyers.push(buyer);
    }
    ensure!(buyers.len() == BUYERS, "only {} came", buyers.len());
    ensure!(paid.len() as u64 == UNITS, "{} of {UNITS} units were paid: {paid:?}", paid.len());
    eventually("nothing is left", READY_PATIENCE, async || stock(&databases, &sku, 0).await)
        .await?;
    rules::nothing_put_aside(&world).await?;
    rules::all_hold(&world).await
}

/// A product that is new, of which there are ten. Returns its SKU and its id.
async fn put_on_sale(world: &World) -> Result<(String, String)> {
    let admin = world.admin().await?;
    let products = admin.get("/products?limit=1").await?.ok()?;
    let like = &products["items"][0];
    let sku = format!("SOAK-{}", &Uuid::new_v4().simple().to_string()[..8].to_uppercase());
    let product = json!({
        "sku": sku,
        "name": "Concert ticket",
        "price": like["price"],
        "category": like["category"],
    });
    let product = admin.post("/products", &product).await?.ok()?;
    let supply = json!({"quantity": UNITS});
    let key = Uuid::new_v4().to_string();
    admin.post_once(&format!("/stock/{sku}/supplies"), &key, &supply).await?.ok()?;
    let id = product["id"].as_str().context("a product has an id")?;
    Ok((sku, id.to_owned()))
}

/// These open an account and order, some at a time. A request that nobody answers is sent again.
async fn arrive(at: &Address, product: &str, buyers: Range<usize>) -> Result<Vec<Buyer>> {
    let come = buyers.map(|buyer| async move {
        let shopper = eventually("an account can be opened", READY_PATIENCE, async || {
            Shopper::register(at).await
        })
        .await?;
        let token = token(buyer);
        let order = shopper.order(product, 1, token).await?;
        anyhow::Ok(Buyer { shopper, token, order })
    });
    iter(come).buffer_unordered(AT_ONCE).try_collect().await
}

/// Services are killed, and events of all ages come again.
async fn break_things(
    world: &World,
    databases: &Databases,
    (in_place, with_pods): &(&[&str], &[&str]),
) -> Result<()> {
    echo::some(databases).await?;
    tokio::try_join!(
        try_join_all(in_place.iter().map(|victim| faults::kill(world, victim))),
        try_join_all(with_pods.iter().map(|victim| faults::remove(world, victim))),
    )?;
    echo::some(databases).await?;
    echo::some(databases).await
}

/// Waits for the end of an order, which must be one that its buyer can have. Returns the order if it is paid, once.
async fn end(buyer: &mut Buyer) -> Result<Option<String>> {
    let Buyer { shopper, token, order } = buyer;
    let path = format!("/orders/{order}");
    if shopper.get(&path).await?.status == StatusCode::UNAUTHORIZED {
        shopper.refresh().await?;
    }
    let shopper = &*shopper;
    let state = eventually(&format!("order {order} has ended"), READY_PATIENCE, async || {
        let now = shopper.get(&path).await?.ok()?;
        ensure!(now["status"] != "pending" && now["status"] != "reserved", "{}", now["status"]);
        Ok(now["status"].clone())
    })
    .await?;
    let good = matches!(*token, "tok_visa" | "tok_timeout");
    let possible = state == "rejected" || state == if good { "paid" } else { "cancelled" };
    ensure!(possible, "order {order} with {token} is {state}");
    if state != "paid" {
        return Ok(None);
    }
    let payment = shopper.get(&format!("/payments/{order}")).await?.ok()?;
    let kept = payment["status"] == "captured" && payment["refunds"] == json!([]);
    ensure!(kept, "order {order} is paid by {payment}");
    Ok(Some(order.clone()))
}

/// So many units can be bought, and none is held.
async fn stock(databases: &Databases, sku: &str, available: u64) -> Result<()> {
    let question = "SELECT sku || ' ' || available, reserved FROM stock WHERE sku LIKE 'SOAK-%'";
    let found = databases.counts("inventory", question).await?;
    let expected = (format!("{sku} {available}"), 0);
    ensure!(found.contains(&expected), "{found:?}, not {expected:?}");
    Ok(())
}
