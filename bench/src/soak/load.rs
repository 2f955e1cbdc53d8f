//! One order a second.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::eventually;
use e2e::kubectl::Kubectl;
use e2e::shopper::Shopper;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, interval};

use super::Running;

/// Between two orders.
const PERIOD: Duration = Duration::from_secs(1);
/// Shoppers who take turns, so that none has many orders under way.
const SHOPPERS: usize = 20;
/// Younger than an access token may become.
const RENEWAL: Duration = Duration::from_mins(4);
/// For the shop to have its demo data.
const TIMEOUT: Duration = Duration::from_mins(2);
/// More than any run sells.
const UNITS: i64 = 1_000_000;

/// Shoppers, and what they buy.
#[derive(Clone)]
pub(super) struct Load {
    shoppers: Vec<Shopper>,
    product: String,
}

impl Load {
    /// Registers the shoppers and fills the stock of a product.
    pub(super) async fn prepare(kubectl: &Kubectl, shop: &str) -> Result<Self> {
        let at = kubectl.reach(&format!("{shop}-gateway"), 80).await?;
        let mut shoppers = Vec::new();
        for _ in 0..SHOPPERS {
            shoppers.push(Shopper::register(&at).await?);
        }
        let scout = &shoppers[0];
        let product =
            eventually("a product", TIMEOUT, async || scout.find_product(1).await).await?;
        let admin = crate::admin(kubectl, &at, shop).await?;
        let text = |field: &str| product[field].as_str().context("no text");
        let path = format!("/stock/{}/supplies", text("sku")?);
        admin.post_once(&path, "soak", &json!({"quantity": UNITS})).await?.ok()?;
        let product = text("id")?.to_owned();
        Ok(Self { shoppers, product })
    }

    /// Orders until stopped; says then how many orders were paid.
    pub(super) fn start(self) -> Running<u32> {
        let (stop, stopped) = watch::channel(false);
        Running { stop, task: tokio::spawn(self.order(stopped)) }
    }

    async fn order(mut self, mut stopped: watch::Receiver<bool>) -> Result<u32> {
        // The shoppers were registered before the time at rest.
        let (mut orders, mut renewed, mut placed) = (0, None::<Instant>, Vec::new());
        let mut clock = interval(PERIOD);
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                _ = clock.tick() => {}
            }
            if renewed.is_none_or(|at| at.elapsed() > RENEWAL) {
                for shopper in &mut self.shoppers {
                    shopper.refresh().await?;
                }
                renewed = Some(Instant::now());
            }
            let shopper = self.shoppers[orders % SHOPPERS].clone();
            let product = self.product.clone();
            placed.push(tokio::spawn(async move {
                let order = shopper.order(&product, 1, "tok_visa").await?;
                paid(&shopper, &order).await
            }));
            orders += 1;
        }
        for order in placed {
            order.await??;
        }
        Ok(u32::try_from(orders)?)
    }
}

async fn paid(shopper: &Shopper, order: &str) -> Result<Value> {
    shopper.wait_for(order, "paid").await
}
