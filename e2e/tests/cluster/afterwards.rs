//! What happens to orders and products afterwards: money and goods that go back, payments that take a second step,
//! products that are deleted.

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::shopper::{SAGA_PATIENCE, Shopper};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::rules;
use crate::world::World;

fn id(thing: &Value) -> Result<&str> {
    thing["id"].as_str().with_context(|| format!("no id in {thing}"))
}

/// A product of which nobody else buys, with so many units.
async fn product(admin: &Shopper, units: i64) -> Result<Value> {
    let sku = format!("E2E-{}", Uuid::new_v4().simple()).to_uppercase();
    let categories = admin.get("/categories").await?.ok()?;
    let some = categories["items"].as_array().or(categories.as_array());
    let category = some.and_then(|all| all[0]["slug"].as_str()).context("no category")?;
    let price = json!({"amount": 1000, "currency": "EUR"});
    let variant = json!({"sku": format!("{sku}-RED"), "name": "red", "price": {"amount": 1200, "currency": "EUR"}});
    let body = json!({"sku": sku, "name": "Thing of a test", "description": "", "price": price,
                      "attributes": {}, "category": category, "variants": [variant]});
    let product = admin.post("/products", &body).await?.ok()?;
    for sku in [sku.clone(), format!("{sku}-RED")] {
        let path = format!("/stock/{sku}/supplies");
        let supply = json!({"quantity": units});
        admin.post_once(&path, &Uuid::new_v4().to_string(), &supply).await?.ok()?;
    }
    Ok(product)
}

/// Waits until so many units of a SKU can be sold.
async fn comes_to(admin: &Shopper, sku: &str, available: i64) -> Result<()> {
    eventually("the stock is as it should be", SAGA_PATIENCE, async || {
        let stock = admin.get(&format!("/stock/{sku}")).await?.ok()?;
        ensure!(stock["available"] == available, "{stock}");
        Ok(())
    })
    .await
}

async fn place(
    shopper: &Shopper,
    product: &Value,
    sku: Option<&str>,
    token: &str,
) -> Result<String> {
    let mut item = json!({"product_id": product["id"], "quantity": 2});
    if let Some(sku) = sku {
        item["sku"] = json!(sku);
    }
    let body = json!({"items": [item], "payment_token": token});
    let key = Uuid::new_v4().to_string();
    Ok(id(&shopper.post_once("/orders", &key, &body).await?.ok()?)?.to_owned())
}

/// A paid order is given up, another one of a variant sent back: goods and money come back, a part of it before.
pub(crate) async fn go_back(world: World) -> Result<()> {
    let (admin, shopper) = (world.admin().await?, world.shopper().await?);
    let product = product(&admin, 5).await?;
    let sku = product["sku"].as_str().context("no sku")?;
    let red = format!("{sku}-RED");

    let order = place(&shopper, &product, None, "tok_visa").await?;
    shopper.wait_for(&order, "paid").await?;
    comes_to(&admin, sku, 3).await?;
    let part = json!({"amount": {"amount": 700, "currency": "EUR"}, "reason": "a scratch"});
    let path = format!("/payments/{order}/refunds");
    let key = Uuid::new_v4().to_string();
    shopper.post_once(&path, &key, &part).await?.problem(403, "forbidden")?;
    admin.post_once(&path, &key, &part).await?.ok()?;
    admin.post_once(&path, &key, &part).await?.ok()?;
    eventually("the part is shown", SAGA_PATIENCE, async || {
        let order = shopper.get(&format!("/orders/{order}")).await?.ok()?;
        ensure!(order["refunded"]["amount"] == 700, "{order}");
        Ok(())
    })
    .await?;
    let too_much = json!({"amount": {"amount": 1301, "currency": "EUR"}, "reason": "a mistake"});
    let refused = admin.post_once(&path, &Uuid::new_v4().to_string(), &too_much).await?;
    refused.problem(422, "refund-too-large")?;
    let cancelled = shopper.post(&format!("/orders/{order}/cancel"), &json!({})).await?.ok()?;
    ensure!(
        cancelled["status"] == "cancelling" || cancelled["status"] == "cancelled",
        "{cancelled}"
    );
    let over = shopper.wait_for(&order, "cancelled").await?;
    ensure!(over["refunded"] == over["total"] && over["payment"] == "refunded", "{over}");
    comes_to(&admin, sku, 5).await?;

    let order = place(&shopper, &product, Some(&red), "tok_visa").await?;
    let paid = shopper.wait_for(&order, "paid").await?;
    ensure!(paid["total"]["amount"] == 2400, "a variant has its own price: {paid}");
    comes_to(&admin, &red, 3).await?;
    for step in ["ship", "deliver"] {
        admin.post(&format!("/orders/{order}/{step}"), &json!({})).await?.ok()?;
    }
    let back = format!("/orders/{order}/return");
    shopper.post(&back, &json!({"reason": "not my red"})).await?.ok()?;
    admin.post(&format!("{back}/receive"), &json!({})).await?.ok()?;
    let over = shopper.wait_for(&order, "returned").await?;
    ensure!(over["refunded"] == over["total"] && over["fulfilment"] == "returned", "{over}");
    comes_to(&admin, &red, 5).await?;
    rules::all_hold(&world).await
}

/// A bank wants a second step; credit pays, is spent, and comes back; somebody has too little of it.
pub(crate) async fn pay_otherwise(world: World) -> Result<()> {
    let (admin, shopper) = (world.admin().await?, world.shopper().await?);
    let product = product(&admin, 10).await?;
    let sku = product["sku"].as_str().context("no sku")?;
    let order = place(&shopper, &product, None, "tok_action").await?;
    let payment = format!("/payments/{order}");
    eventually("the second step is asked for", SAGA_PATIENCE, async || {
        let payment = shopper.get(&payment).await?.ok()?;
        ensure!(payment["status"] == "requires_action", "{payment}");
        Ok(())
    })
    .await?;
    ensure!(shopper.get(&format!("/orders/{order}")).await?.ok()?["status"] == "reserved");
    shopper.post(&format!("{payment}/confirm"), &json!({})).await?.ok()?;
    shopper.wait_for(&order, "paid").await?;

    // What waits for its shopper ends with its order.
    let order = place(&shopper, &product, None, "tok_action").await?;
    shopper.wait_for(&order, "reserved").await?;
    shopper.post(&format!("/orders/{order}/cancel"), &json!({})).await?.ok()?;
    comes_to(&admin, sku, 8).await?;

    let user = shopper.get("/me").await?.ok()?;
    let grant = json!({"amount": {"amount": 2500, "currency": "EUR"}, "reason": "welcome"});
    let path = format!("/credit/{}/grants", id(&user)?);
    let key = Uuid::new_v4().to_string();
    admin.post_once(&path, &key, &grant).await?.ok()?;
    admin.post_once(&path, &key, &grant).await?.ok()?;
    let balance = async |expected: i64| {
        eventually("the balance is right", SAGA_PATIENCE, async || {
            let credit = shopper.get("/credit").await?.ok()?;
            ensure!(credit["balance"]["amount"] == expected, "{credit}");
            Ok(())
        })
        .await
    };
    balance(2500).await?;
    let order = place(&shopper, &product, None, "credit").await?;
    shopper.wait_for(&order, "paid").await?;
    balance(500).await?;
    let poor = place(&shopper, &product, None, "credit").await?;
    ensure!(shopper.wait_for(&poor, "cancelled").await?["reason"] == "payment_declined");
    shopper.post(&format!("/orders/{order}/cancel"), &json!({})).await?.ok()?;
    shopper.wait_for(&order, "cancelled").await?;
    balance(2500).await?;
    comes_to(&admin, sku, 8).await?;
    rules::all_hold(&world).await
}

/// A product that somebody is about to buy stays; afterwards it goes, and with it what refers to it.
pub(crate) async fn delete(world: World) -> Result<()> {
    let (admin, shopper) = (world.admin().await?, world.shopper().await?);
    let product = product(&admin, 2).await?;
    let (this, sku) = (id(&product)?, product["sku"].as_str().context("no sku")?);
    let path = format!("/products/{this}");
    shopper.get(&path).await?.ok()?;
    let item = json!({"product_id": this, "quantity": 1});
    shopper.post("/cart/items", &item).await?.ok()?;
    let delete = async || {
        let seen = admin.get(&path).await?.ok()?;
        let request = admin.request_to(Method::DELETE, &format!("/api/v1{path}"));
        let answer = request.header("If-Match", format!("\"{}\"", seen["version"])).send().await?;
        ensure!(answer.status() == 202, "{}", answer.text().await?);
        seen["version"].as_i64().context("no version")
    };
    // Held for an order that waits for its second step.
    let order = place(&shopper, &product, None, "tok_action").await?;
    shopper.wait_for(&order, "reserved").await?;
    let version = delete().await?;
    eventually("the product is back on sale", SAGA_PATIENCE, async || {
        let product = shopper.get(&path).await?.ok()?;
        // It was taken off sale meanwhile.
        ensure!(product["version"].as_i64() > Some(version + 1), "{product}");
        ensure!(product["on_sale"] == true, "{product}");
        ensure!(product.get("deletion").is_none(), "that is not for shoppers: {product}");
        Ok(())
    })
    .await?;
    // Whoever asked for it reads why it is still there.
    let seen = admin.get(&path).await?.ok()?;
    let why = json!({"state": "withdrawn", "reason": "in_use", "reserved": 2});
    ensure!(seen["deletion"] == why, "{seen}");

    shopper.post(&format!("/orders/{order}/cancel"), &json!({})).await?.ok()?;
    comes_to(&admin, sku, 2).await?;
    delete().await?;
    eventually("the product is gone", SAGA_PATIENCE, async || {
        admin.get(&path).await?.problem(404, "not-found")?;
        let cart = shopper.get("/cart").await?.ok()?;
        ensure!(cart["items"].as_array().is_some_and(Vec::is_empty), "{cart}");
        Ok(())
    })
    .await?;
    let late = json!({"items": [{"product_id": this, "quantity": 1}]});
    let late = shopper.post_once("/orders", &Uuid::new_v4().to_string(), &late).await?;
    late.problem(422, "invalid-fields")?;
    rules::all_hold(&world).await
}
