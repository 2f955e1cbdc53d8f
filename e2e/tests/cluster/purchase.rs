//! What shoppers do.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::shopper::{SAGA_PATIENCE, Shopper};
use e2e::{eventually, mail};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::World;

fn id(thing: &Value) -> Result<&str> {
    thing["id"].as_str().with_context(|| format!("no id in {thing}"))
}

/// Register, log in, refresh, search, look, order, watch it live, get mail.
pub(crate) async fn buys(world: World) -> Result<()> {
    let (admin, mut shopper) = (world.admin().await?, world.shopper().await?);
    shopper.refresh().await?;
    let found = shopper.get("/products?q=mug&limit=5").await?.ok()?;
    let names = found["items"].as_array().context("no items")?;
    ensure!(!names.is_empty(), "a search for mugs finds nothing");
    ensure!(
        names.iter().all(|p| p["name"].to_string().to_lowercase().contains("mug")
            || p["description"].to_string().to_lowercase().contains("mug")),
        "a search for mugs finds {found}"
    );
    let page = shopper.find_product(2).await?;
    for part in ["name", "price", "stock", "rating", "seller"] {
        ensure!(!page[part].is_null(), "the product page has no {part}: {page}");
    }
    let product = id(&page)?;
    let before = admin.available(product).await?;
    let mut live = shopper.live().await?;
    let order = shopper.order(product, 2, "tok_visa").await?;
    let updates = live.until(&order, "paid").await?;
    ensure!(
        updates.iter().any(|u| u["order_id"] == order.as_str() && u["status"] == "placed"
            || u["status"] == "pending"),
        "the placing was not seen live: {updates:?}"
    );
    let paid = shopper.wait_for(&order, "paid").await?;
    let total = page["price"]["amount"].as_i64().context("no price")? * 2;
    ensure!(paid["total"]["amount"] == total, "two of {page} make {paid}");
    eventually("two units have left the stock", SAGA_PATIENCE, async || {
        let now = admin.available(product).await?;
        // Others may buy meanwhile.
        ensure!(now <= before - 2, "{before} before, {now} after");
        Ok(())
    })
    .await?;
    let sink = world.mail().await?;
    eventually("the mails have arrived", SAGA_PATIENCE, async || {
        let mails = mail::mails_to(&sink.url, &shopper.email).await?;
        let paid = |mail: &Value| mail["subject"] == format!("Your order {order} is paid");
        ensure!(mails.iter().any(paid), "{mails:?}");
        Ok(())
    })
    .await
}

/// The address is verified, the password forgotten and replaced, by the letters that arrive.
pub(crate) async fn forgets_the_password(world: World) -> Result<()> {
    let shopper = world.shopper().await?;
    let sink = world.mail().await?;
    let token = mail::token_for(&sink.url, &shopper.email, "verify-email").await?;
    shopper.post("/auth/verify-email", &json!({ "token": token })).await?.ok()?;
    let account = shopper.get("/me").await?.ok()?;
    ensure!(account["email_verified"] == true, "{account}");

    shopper.post("/auth/forgot-password", &json!({ "email": shopper.email })).await?.ok()?;
    let token = mail::token_for(&sink.url, &shopper.email, "reset-password").await?;
    let password = format!("battery staple {}", Uuid::new_v4());
    let reset = json!({ "token": token, "new_password": password });
    shopper.post("/auth/reset-password", &reset).await?.ok()?;
    shopper.post("/auth/reset-password", &reset).await?.problem(400, "invalid-email-token")?;
    let old = json!({ "email": shopper.email, "password": shopper.secrets()[1] });
    shopper.post("/auth/login", &old).await?.problem(401, "invalid-credentials")?;
    Shopper::with_account(&world.gateway().await?, &shopper.email, &password).await?;
    Ok(())
}

/// From the cart, which then forgets what was bought.
pub(crate) async fn buys_a_cart(world: World) -> Result<()> {
    let shopper = world.shopper().await?;
    let page = shopper.find_product(3).await?;
    let item = json!({"product_id": id(&page)?, "quantity": 3});
    shopper.post("/cart/items", &item).await?.ok()?;
    let order = shopper.check_out().await?;
    shopper.wait_for(&order, "paid").await?;
    eventually("the cart is empty", SAGA_PATIENCE, async || {
        let cart = shopper.get("/cart").await?.ok()?;
        ensure!(!cart.to_string().contains(id(&page)?), "{cart}");
        Ok(())
    })
    .await
}

/// More than there is: rejected, and nothing is held.
pub(crate) async fn sold_out(world: World) -> Result<()> {
    let (admin, shopper) = (world.admin().await?, world.shopper().await?);
    let page = shopper.find_product(1).await?;
    let product = id(&page)?;
    let before = admin.available(product).await?;
    // Few enough for an account whose e-mail address is not verified: something was sold before.
    let units = u32::try_from(before + 1)?;
    ensure!(units <= 100, "{before} units are more than an account may order");
    let order = shopper.order(product, units, "tok_visa").await?;
    shopper.wait_for(&order, "rejected").await?;
    ensure!(admin.available(product).await? == before, "something is still held");
    Ok(())
}

/// Declined: cancelled, and what was held can be sold again.
pub(crate) async fn declined(world: World) -> Result<()> {
    let (admin, shopper) = (world.admin().await?, world.shopper().await?);
    let page = shopper.find_product(1).await?;
    let product = id(&page)?;
    let before = admin.available(product).await?;
    let order = shopper.order(product, 1, "tok_declined").await?;
    shopper.wait_for(&order, "cancelled").await?;
    eventually("the stock is released", SAGA_PATIENCE, async || {
        let now = admin.available(product).await?;
        ensure!(now == before, "{before} before, {now} after");
        Ok(())
    })
    .await
}

/// The same key twice is one order; the same key for something else is refused; none is refused.
pub(crate) async fn repeated(world: World) -> Result<()> {
    let shopper = world.shopper().await?;
    let page = shopper.find_product(2).await?;
    let product = id(&page)?;
    let body = |quantity| {
        let item = json!({"product_id": product, "quantity": quantity});
        json!({"items": [item], "payment_token": "tok_visa"})
    };
    let key = Uuid::new_v4().to_string();
    let first = shopper.post_once("/orders", &key, &body(1)).await?.ok()?;
    let second = shopper.post_once("/orders", &key, &body(1)).await?.ok()?;
    ensure!(first["id"] == second["id"], "two orders: {first} and {second}");
    shopper.post_once("/orders", &key, &body(2)).await?.problem(422, "idempotency-key-reused")?;
    shopper.post("/orders", &body(1)).await?.problem(400, "idempotency-key-missing")?;
    shopper.wait_for(id(&first)?, "paid").await?;
    let orders = shopper.get("/orders").await?.ok()?;
    ensure!(orders["items"].as_array().is_some_and(|all| all.len() == 1), "one key, {orders}");
    Ok(())
}

/// The client names no price, sees nobody else's order, sells nothing, and is nobody else.
pub(crate) async fn cheats(world: World) -> Result<()> {
    let (shopper, other) = (world.shopper().await?, world.shopper().await?);
    let page = shopper.find_product(1).await?;
    let product = id(&page)?;
    let item = json!({"product_id": product, "quantity": 1});
    let priced = json!({"product_id": product, "quantity": 1, "unit_price": 1});
    let priced = json!({"items": [priced], "payment_token": "tok_visa"});
    let key = Uuid::new_v4().to_string();
    shopper.post_once("/orders", &key, &priced).await?.problem(422, "invalid-fields")?;
    // Beside Stripe nothing is paid with what moves no money unless the shopper says so.
    let unpaid = json!({"items": [item]});
    shopper.post_once("/orders", &key, &unpaid).await?.problem(422, "invalid-fields")?;
    let order = shopper.order(product, 1, "tok_visa").await?;
    other.get(&format!("/orders/{order}")).await?.problem(404, "not-found")?;
    let adjustment = json!({"delta": 1_000_000, "note": "for free"});
    let sku = page["sku"].as_str().context("no sku")?;
    let path = format!("/stock/{sku}/adjustments");
    let refused = shopper.post_once(&path, &key, &adjustment).await?;
    refused.problem(403, "forbidden")?;
    for quantity in [json!(0), json!(-1), json!(2_147_483_648_u64), json!("1")] {
        let item = json!({"product_id": product, "quantity": quantity});
        let body = json!({"items": [item], "payment_token": "tok_visa"});
        let key = Uuid::new_v4().to_string();
        shopper.post_once("/orders", &key, &body).await?.problem(422, "invalid-fields")?;
    }
    let none = shopper.wait_for(&order, "paid").await?;
    ensure!(none["total"]["amount"] == page["price"]["amount"], "{none} for {page}");
    tokio::time::timeout(Duration::from_secs(5), shopper.get("/products?limit=1000000000"))
        .await??
        .problem(400, "malformed-request")?;
    Ok(())
}

/// The administrator that the operator has made corrects the stock; nobody else may.
pub(crate) async fn restocked(world: World) -> Result<()> {
    let (admin, shopper) = (world.admin().await?, world.shopper().await?);
    let page = shopper.find_product(1).await?;
    let (product, sku) = (id(&page)?, page["sku"].as_str().context("no sku")?);
    let before = admin.available(product).await?;
    let path = format!("/stock/{sku}/adjustments");
    let adjustment = json!({"delta": 7, "note": "found behind the shelf"});
    let key = Uuid::new_v4().to_string();
    shopper.post_once(&path, &key, &adjustment).await?.problem(403, "forbidden")?;
    admin.post_once(&path, &key, &adjustment).await?.ok()?;
    admin.post_once(&path, &key, &adjustment).await?.ok()?;
    let after = admin.available(product).await?;
    ensure!(after == before + 7, "{before} before, {after} after the same request came twice");
    Ok(())
}
