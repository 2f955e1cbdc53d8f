//! The one shop that the scenarios share.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::kubectl::{Address, Forward, Kubectl};
use e2e::shopper::Shopper;
use serde_json::{Value, json};

/// Namespace and name of the shop.
pub(crate) const NAMESPACE: &str = "e2e";
pub(crate) const SHOP: &str = "store";
/// What the payment provider that nobody asks signs its webhooks with.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_e2e";
/// Services of a shop.
pub(crate) const SERVICES: [&str; 9] = [
    "gateway",
    "user",
    "catalog",
    "cart",
    "order",
    "payment",
    "inventory",
    "review",
    "notification",
];
/// How long a shop may take to become ready, or ready again. The aim is a minute; a machine that
/// also compiles gets more.
pub(crate) const READY_PATIENCE: Duration = Duration::from_mins(5);

/// Hands to work with.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) kubectl: Kubectl,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { kubectl: Kubectl::new(NAMESPACE) }
    }

    /// The manifest of the shop with this spec.
    pub(crate) fn shop(spec: &Value) -> Value {
        json!({
            "apiVersion": "shop-operator.io/v1alpha1",
            "kind": "Shop",
            "metadata": {"name": SHOP, "namespace": NAMESPACE},
            "spec": spec,
        })
    }

    /// Waits until a shopper can buy, from the services that the newest spec asks for.
    pub(crate) async fn ready(&self) -> Result<()> {
        eventually("the shop is ready", READY_PATIENCE, async || {
            let shop = self.kubectl.get(&["shop", SHOP]).await?;
            let generation = &shop["metadata"]["generation"];
            for type_ in ["Ready", "ServicesReady"] {
                let found = condition(&shop, type_);
                ensure!(
                    shop["status"]["observedGeneration"] == *generation
                        && found["observedGeneration"] == *generation
                        && found["status"] == "True",
                    "{found}"
                );
            }
            Ok(())
        })
        .await
    }

    /// Where shoppers go.
    pub(crate) async fn gateway(&self) -> Result<Address> {
        self.kubectl.reach(&format!("{SHOP}-gateway"), 80).await
    }

    /// A new customer.
    pub(crate) async fn shopper(&self) -> Result<Shopper> {
        eventually("an account can be opened", READY_PATIENCE, async || {
            Shopper::register(&self.gateway().await?).await
        })
        .await
    }

    /// The administrator that the operator has made.
    pub(crate) async fn admin(&self) -> Result<Shopper> {
        let secret = format!("{SHOP}-admin");
        let read = async |key: &str| {
            let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
            self.kubectl.run(&["get", "secret", &secret, "-o", &template]).await
        };
        let (email, password) = (read("email").await?, read("password").await?);
        eventually("the administrator can log in", READY_PATIENCE, async || {
            Shopper::with_account(&self.gateway().await?, &email, &password).await
        })
        .await
    }

    /// The mail sink's web API.
    pub(crate) async fn mail(&self) -> Result<Forward> {
        self.kubectl.forward(&format!("service/{SHOP}-mail"), 1080).await
    }

    /// Selects the pods of a component.
    pub(crate) fn selector(component: &str) -> String {
        format!("app.kubernetes.io/instance={SHOP},app.kubernetes.io/component={component}")
    }

    /// Names of a component's pods.
    pub(crate) async fn pods(&self, component: &str) -> Result<Vec<String>> {
        let pods = self.kubectl.pods(&Self::selector(component)).await?;
        let names = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Proves that the shop sells: a new customer buys something.
    pub(crate) async fn sells(&self) -> Result<()> {
        eventually("the shop sells again", READY_PATIENCE, async || {
            let shopper = self.shopper().await?;
            let product = shopper.find_product(1).await?;
            let id = product["id"].as_str().context("a product has an id")?;
            let order = shopper.order(id, 1, "tok_visa").await?;
            shopper.wait_for(&order, "paid").await?;
            Ok(())
        })
        .await
    }
}

/// A condition of an object; null when it has none of that type.
pub(crate) fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .and_then(|all| all.iter().find(|condition| condition["type"] == kind))
        .cloned()
        .unwrap_or(Value::Null)
}
