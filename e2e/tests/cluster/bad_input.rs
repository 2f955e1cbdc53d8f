//! What nobody should send, to every service, through the gateway: each time a refusal that says what is wrong, and
//! nothing of the inside; and afterwards the shop is as it was.

mod case;
mod forged;
mod table;
mod webhooks;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::invariants::Databases;
use e2e::shopper::Shopper;
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{SHOP, World};

/// Whatever a request may leave behind.
const TRACES: [(&str, &str); 18] = [
    ("user", "SELECT count(*) FROM accounts"),
    ("user", "SELECT coalesce(sum(version), 0)::bigint FROM accounts"),
    ("user", "SELECT count(*) FROM addresses"),
    ("user", "SELECT count(*) FROM favourites"),
    ("user", "SELECT count(*) FROM refresh_tokens"),
    ("catalog", "SELECT count(*) FROM products"),
    ("catalog", "SELECT coalesce(sum(version), 0)::bigint FROM products"),
    ("catalog", "SELECT count(*) FROM categories"),
    ("catalog", "SELECT count(*) FROM images"),
    ("order", "SELECT count(*) FROM order_events"),
    ("order", "SELECT count(*) FROM idempotency_keys"),
    ("payment", "SELECT count(*) FROM payments"),
    ("payment", "SELECT count(*) FROM refunds"),
    ("payment", "SELECT count(*) FROM webhook_events"),
    ("inventory", "SELECT count(*) FROM movements"),
    ("inventory", "SELECT coalesce(sum(available), 0)::bigint FROM stock"),
    ("inventory", "SELECT count(*) FROM announcements"),
    ("review", "SELECT count(*) FROM reviews"),
];

/// Most characters of a failure that are shown: what is sent is sometimes large, and comes back.
const SHOWN: usize = 500;

/// Who asks, and for what.
struct Setting {
    guest: Shopper,
    customer: Shopper,
    admin: Shopper,
    /// Somebody else's order, paid.
    foreign_order: String,
    product: String,
    sku: String,
    category: String,
    /// A key that the customer has used for an order of one unit.
    spent_key: String,
    /// The administrator's id.
    admin_id: String,
    /// Tokens that no service may take.
    forged: Vec<(&'static str, String)>,
}

impl Setting {
    async fn make(world: &World) -> Result<Self> {
        let at = world.gateway().await?;
        let (customer, other) = (world.shopper().await?, world.shopper().await?);
        let (admin, guest) = (world.admin().await?, Shopper::guest(&at)?);
        let page = admin.find_product(30).await?;
        let text = |field: &str| page[field].as_str().map(str::to_owned).context("no text");
        let product = text("id")?;
        let foreign_order = other.order(&product, 1, "tok_visa").await?;
        other.wait_for(&foreign_order, "paid").await?;
        let spent_key = at_once(&customer, &product).await?;
        let account = admin.get("/me").await?.ok()?;
        let genuine = forged::genuine(&world.kubectl, admin.access_token()).await?;
        let known = guest.request_to(Method::GET, "/api/v1/me").bearer_auth(genuine).send().await?;
        ensure!(known.status() == 200, "a token that is good is refused: {}", known.status());
        Ok(Self {
            admin_id: account["id"].as_str().context("no id")?.to_owned(),
            forged: forged::tokens(&world.kubectl, admin.access_token()).await?,
            guest,
            admin,
            sku: text("sku")?,
            category: text("category")?,
            customer,
            foreign_order,
            product,
            spent_key,
        })
    }
}

/// The same request many times at once is one order: each answer is that order, or that it is under way. Returns the key.
async fn at_once(customer: &Shopper, product: &str) -> Result<String> {
    let key = Uuid::new_v4().to_string();
    let item = json!({"product_id": product, "quantity": 1});
    let body = json!({"items": [item], "payment_token": "tok_visa"});
    let answers = (0..16).map(|_| customer.post_once("/orders", &key, &body));
    let mut orders = BTreeSet::new();
    for answer in try_join_all(answers).await? {
        if answer.status == 409 {
            answer.problem(409, "idempotency-key-in-flight")?;
        } else {
            let order = answer.ok()?;
            orders.insert(order["id"].as_str().context("no id")?.to_owned());
        }
    }
    ensure!(orders.len() == 1, "one key, these orders: {orders:?}");
    for order in orders {
        customer.wait_for(&order, "paid").await?;
    }
    let placed = customer.get("/orders").await?.ok()?;
    ensure!(placed["items"].as_array().is_some_and(|all| all.len() == 1), "one key, {placed}");
    Ok(key)
}

/// Every row of the table; all that fail are told at once.
pub(crate) async fn is_refused(world: World) -> Result<()> {
    let setting = Setting::make(&world).await?;
    let databases = Databases::of(&world.kubectl, SHOP).await?;
    webhooks::genuine(&setting, &databases).await?;
    let before = look(&databases).await?;
    let cases = table::cases(&setting);
    ensure!(cases.len() >= table::LEAST, "only {} rows", cases.len());
    let mut failures = Vec::new();
    for case in cases {
        let what = case.what;
        if let Err(reason) = case.run(&setting).await {
            let reason: String = format!("{reason:#}").chars().take(SHOWN).collect();
            failures.push(format!("{what}: {reason}"));
        }
    }
    ensure!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
    let after = look(&databases).await?;
    ensure!(before == after, "before {before:#?}, after {after:#?}");
    world.sells().await
}

async fn look(databases: &Databases) -> Result<Vec<(&'static str, i64)>> {
    let mut found = Vec::new();
    for (service, query) in TRACES {
        found.push((query, databases.number(service, query).await.context(query)?));
    }
    Ok(found)
}

/// A JSON body of so many equal items.
fn many(item: &Value, count: usize) -> Value {
    json!({"items": vec![item; count]})
}
