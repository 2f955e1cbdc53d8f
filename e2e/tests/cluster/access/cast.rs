//! The actors, and the objects that the rows of the access table are about.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use chrono::{Days, Utc};
use e2e::actors::{Actor, OBJECTS};
use e2e::eventually;
use e2e::shopper::{SAGA_PATIENCE, Shopper};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::images::PICTURE;
use crate::world::World;

/// Everyone, and everything that they ask for.
pub(super) struct Cast {
    guest: Shopper,
    customer: Shopper,
    other: Shopper,
    seller: Shopper,
    other_seller: Shopper,
    admin: Shopper,
    demoted: Shopper,
    /// Token of a cart without an account.
    pub(super) guest_cart: String,
    /// By the names of [`OBJECTS`].
    pub(super) objects: BTreeMap<&'static str, String>,
}

fn text(value: &Value, field: &str) -> Result<String> {
    let text = value[field].as_str().map(str::to_owned);
    text.with_context(|| format!("no {field} in {value}"))
}

/// Gives an account these roles, and its owner a token that says so.
async fn appoint(admin: &Shopper, account: &mut Shopper, roles: &[&str]) -> Result<()> {
    let seen = account.get("/me").await?.ok()?;
    let path = format!("/api/v1/users/{}/roles", text(&seen, "id")?);
    let request = admin.request_to(Method::PUT, &path).json(&json!({"roles": roles}));
    let answer = request.header("If-Match", format!("\"{}\"", seen["version"])).send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    Ok(())
}

impl Cast {
    pub(super) async fn make(world: &World) -> Result<Self> {
        let (admin, guest) = (world.admin().await?, Shopper::guest(&world.gateway().await?)?);
        let mut seller = world.shopper().await?;
        let (mut other_seller, mut demoted) = (world.shopper().await?, world.shopper().await?);
        for seller in [&mut seller, &mut other_seller] {
            appoint(&admin, seller, &["customer", "seller"]).await?;
            seller.login().await?;
        }
        let (customer, other) = (world.shopper().await?, world.shopper().await?);
        let cart = guest.post("/cart", &json!({})).await?.ok()?;
        let mut objects = products(&seller).await?;
        bought(&admin, [&customer, &other], &mut objects).await?;
        owned(&customer, &mut objects).await?;
        for (name, who) in [("customer", &customer), ("other", &other)] {
            objects.insert(name, text(&who.get("/me").await?.ok()?, "id")?);
        }
        let tomorrow = Utc::now().date_naive() + Days::new(1);
        objects.insert("tomorrow", tomorrow.to_string());
        objects.insert("nothing", Uuid::now_v7().to_string());
        for (name, what) in OBJECTS {
            ensure!(objects.contains_key(name), "{name} is missing: {what}");
        }
        // Last: from here on its token has minutes to live.
        appoint(&admin, &mut demoted, &["customer", "admin"]).await?;
        demoted.login().await?;
        let token = demoted.clone();
        appoint(&admin, &mut demoted, &["customer"]).await?;
        let guest_cart = text(&cart, "token")?;
        Ok(Self {
            guest,
            customer,
            other,
            seller,
            other_seller,
            admin,
            demoted: token,
            guest_cart,
            objects,
        })
    }

    /// New tokens for everyone who has some; not for the demoted administrator, who would lose theirs.
    pub(super) async fn log_in(&mut self) -> Result<()> {
        let Self { customer, other, seller, other_seller, admin, .. } = self;
        for account in [customer, other, seller, other_seller, admin] {
            account.login().await?;
        }
        Ok(())
    }

    pub(super) fn actor(&self, actor: Actor) -> &Shopper {
        match actor {
            Actor::Guest => &self.guest,
            Actor::Customer => &self.customer,
            Actor::OtherCustomer => &self.other,
            Actor::Seller => &self.seller,
            Actor::OtherSeller => &self.other_seller,
            Actor::Admin => &self.admin,
            Actor::DemotedAdmin => &self.demoted,
        }
    }

    /// What a parameter of a path stands for: an object, or a `'literal'`.
    pub(super) fn object<'a>(&'a self, name: &'a str) -> Result<&'a str> {
        if let Some(literal) = name.strip_prefix('\'') {
            return Ok(literal.trim_end_matches('\''));
        }
        self.objects.get(name).map(String::as_str).with_context(|| format!("no {name}"))
    }
}

/// What the seller sells: a product with a variant, an image, stock, and more to come.
async fn products(seller: &Shopper) -> Result<BTreeMap<&'static str, String>> {
    let categories = seller.get("/categories").await?.ok()?;
    let category = text(&categories["items"][0], "slug")?;
    let sku = format!("ACCESS-{}", Uuid::new_v4().simple()).to_uppercase();
    let price = json!({"amount": 1000, "currency": "EUR"});
    let variant = json!({"sku": format!("{sku}-RED"), "name": "red", "price": price});
    let body = json!({"sku": sku, "name": "Thing of the access table", "price": price,
                      "category": category, "variants": [variant]});
    let product = text(&seller.post("/products", &body).await?.ok()?, "id")?;
    // The stock has to hear of the product first: until then it is not the seller's.
    let (supply, key) = (json!({"quantity": 50}), Uuid::new_v4().to_string());
    let supplies = format!("/stock/{sku}/supplies");
    eventually("the seller has stock", SAGA_PATIENCE, async || {
        seller.post_once(&supplies, &key, &supply).await?.ok()
    })
    .await?;
    let expected = Utc::now().date_naive() + Days::new(1);
    let expected = json!({"quantity": 100, "expected_on": expected.to_string()});
    let announcements = format!("/stock/{sku}/announcements");
    let key = Uuid::new_v4().to_string();
    let announced = seller.post_once(&announcements, &key, &expected).await?.ok()?;
    let images = format!("/api/v1/products/{product}/images");
    let upload = seller.request_to(Method::POST, &images).header(CONTENT_TYPE, "image/png");
    let image: Value = upload.body(PICTURE).send().await?.error_for_status()?.json().await?;
    let url = text(&image["sizes"][0], "url")?;
    let file = url.rsplit('/').next().context("no file")?;
    Ok(BTreeMap::from([
        ("file", file.to_owned()),
        ("image", text(&image, "id")?),
        ("announcement", text(&announced, "id")?),
        ("variant", format!("{sku}-RED")),
        ("product", product),
        ("category", category),
        ("sku", sku),
    ]))
}

/// Orders of both customers, delivered, and their reviews; one order that is only paid.
async fn bought(
    admin: &Shopper,
    [customer, other]: [&Shopper; 2],
    objects: &mut BTreeMap<&'static str, String>,
) -> Result<()> {
    let product = objects["product"].clone();
    let order = async |who: &Shopper| {
        let order = who.order(&product, 1, "tok_visa").await?;
        who.wait_for(&order, "paid").await?;
        anyhow::Ok(order)
    };
    let review = async |who: &Shopper, order: &str| {
        for step in ["ship", "deliver"] {
            admin.post(&format!("/orders/{order}/{step}"), &json!({})).await?.ok()?;
        }
        let body = json!({"rating": 5, "text": "Good"});
        let review = who.post(&format!("/products/{product}/reviews"), &body).await?.ok()?;
        text(&review, "id")
    };
    let (paid, delivered, others) = (order(customer).await?, order(customer).await?, order(other));
    let hidden = review(other, &others.await?).await?;
    let path = format!("/api/v1/reviews/{hidden}/hidden");
    admin.request_to(Method::PUT, &path).send().await?.error_for_status()?;
    objects.insert("review", review(customer, &delivered).await?);
    objects.insert("hidden", hidden);
    objects.insert("order", paid);
    objects.insert("delivered", delivered);
    Ok(())
}

/// What else belongs to the customer.
async fn owned(customer: &Shopper, objects: &mut BTreeMap<&'static str, String>) -> Result<()> {
    let address =
        json!({"recipient": "Ada", "line1": "1 High Street", "city": "London", "country": "GB"});
    let address = customer.post("/me/addresses", &address).await?.ok()?;
    let method = json!({"token": "tok_visa"});
    let method = customer.post("/payment-methods", &method).await?.ok()?;
    objects.insert("address", text(&address, "id")?);
    objects.insert("method", text(&method, "id")?);
    Ok(())
}
