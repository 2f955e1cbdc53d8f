//! What platform engineers do.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use serde_json::{Value, json};

use crate::world::{NAMESPACE, READY_PATIENCE, SERVICES, SHOP, WEBHOOK_SECRET, World, condition};

/// The Secret with the keys of that provider.
const STRIPE: &str = "stripe";

/// All scenarios come from one address, and some of them ask a lot. The shop has a second payment provider, which
/// nobody pays through, to be told webhooks.
fn spec() -> Value {
    json!({
        "demoData": true,
        "gateway": {"rateLimitPerMinute": 1_000_000},
        "payments": {"stripe": {"secretRef": {"name": STRIPE}}, "allowTestProviderBesideStripe": true},
    })
}

/// The API server refuses bad specs and says why.
pub(crate) async fn bad_shops(world: World) -> Result<()> {
    make_namespace(&world).await?;
    let cases = [
        (json!({"database": {}}), "exactly one of bundled and external must be set"),
        (json!({"currency": "euro"}), "currency"),
        (
            json!({"services": [{"name": "gateway", "enabled": false}]}),
            "a shop cannot sell without the others",
        ),
        (
            json!({"services": [{"name": "order", "autoscaling": {"minReplicas": 4, "maxReplicas": 3}}]}),
            "minReplicas must not exceed maxReplicas",
        ),
        (json!({"services": [{"name": "bakery"}]}), "bakery"),
        (json!({"demoDate": true}), "demoDate"),
    ];
    for (spec, reason) in cases {
        let mut manifest = World::shop(&spec);
        // What an earlier run has left would be merged with it.
        manifest["metadata"]["name"] = json!("refused");
        let refused = world
            .kubectl
            .run_with(
                &["apply", "--server-side", "--dry-run=server", "-f", "-"],
                &manifest.to_string(),
            )
            .await;
        let complaint = refused.err().with_context(|| format!("{spec} was accepted"))?.to_string();
        ensure!(complaint.contains(reason), "{spec}: {complaint}");
    }
    Ok(())
}

/// The namespace lets only restricted pods in. With what somebody must have put there before the shop.
async fn make_namespace(world: &World) -> Result<()> {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let metadata = json!({"name": NAMESPACE, "labels": labels});
    world
        .kubectl
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
        .await?;
    let keys = json!({"apiKey": "sk_test_e2e", "webhookSecret": WEBHOOK_SECRET});
    let metadata = json!({"name": STRIPE});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys});
    world.kubectl.apply(&secret).await
}

/// Five lines become a store.
#[expect(clippy::print_stdout, reason = "the figure is of interest")]
pub(crate) async fn becomes_ready(world: World) -> Result<()> {
    make_namespace(&world).await?;
    let begun = Instant::now();
    world.kubectl.apply(&World::shop(&spec())).await?;
    world.ready().await?;
    println!("apply to Ready: {:.1} s", begun.elapsed().as_secs_f64());
    world.sells().await?;
    // A shopper may buy before the services that a shop can do without are there.
    eventually("every service is ready", READY_PATIENCE, async || {
        let row = world.kubectl.run(&["get", "shop", SHOP]).await?;
        for column in ["READY", "STATUS", "VERSION", "SERVICES", "URL", "9/9", "True"] {
            ensure!(row.contains(column), "{column} is missing: {row}");
        }
        Ok(())
    })
    .await
}

/// Every pod runs under the restricted standard, and strangers do not reach what is inside.
pub(crate) async fn fenced(world: World) -> Result<()> {
    let pods = world.kubectl.pods(&format!("app.kubernetes.io/instance={SHOP}")).await?;
    ensure!(pods.len() >= SERVICES.len(), "only {} pods", pods.len());
    for pod in &pods {
        let spec = &pod["spec"];
        ensure!(spec["automountServiceAccountToken"] == false, "{} has a token", pod["metadata"]);
        ensure!(spec["securityContext"]["runAsNonRoot"] == true, "{}", pod["metadata"]["name"]);
        for container in spec["containers"].as_array().context("no containers")? {
            let context = &container["securityContext"];
            ensure!(context["readOnlyRootFilesystem"] == true, "{}", pod["metadata"]["name"]);
        }
    }
    let policies = world.kubectl.get(&["networkpolicies"]).await?;
    let count = policies["items"].as_array().map_or(0, Vec::len);
    ensure!(count > SERVICES.len(), "only {count} NetworkPolicies");
    Ok(())
}

/// What somebody else has changed or deleted comes back.
pub(crate) async fn drift(world: World) -> Result<()> {
    let name = format!("{SHOP}-catalog");
    world.kubectl.run(&["delete", "service", &name]).await?;
    let patch = json!({"spec": {"replicas": 3}});
    world.kubectl.patch(&format!("deployment/{SHOP}-review"), &patch).await?;
    eventually("the Service is back and the replicas are right", READY_PATIENCE, async || {
        world.kubectl.get(&["service", &name]).await?;
        let review = world.kubectl.get(&["deployment", &format!("{SHOP}-review")]).await?;
        ensure!(review["spec"]["replicas"] == 1, "{} replicas", review["spec"]["replicas"]);
        Ok(())
    })
    .await?;
    world.ready().await?;
    world.sells().await
}

/// More replicas, then another image, while customers buy without noticing.
pub(crate) async fn roll_out(world: World) -> Result<()> {
    let shopper = world.shopper().await?;
    let deployment = format!("{SHOP}-catalog");
    let found = world.kubectl.get(&["deployment", &deployment]).await?;
    let image = found["spec"]["template"]["spec"]["containers"][0]["image"]
        .as_str()
        .context("no image")?
        .to_owned();
    let before: Vec<String> = world.pods("order").await?;
    let catalog = json!({"name": "catalog", "replicas": 2, "image": format!("{image}-next")});
    let patch = json!({"spec": {"services": [catalog]}});
    world.kubectl.patch(&format!("shop/{SHOP}"), &patch).await?;
    let browse = async {
        loop {
            let answer = shopper.get_once("/products?limit=1").await?;
            ensure!(answer.status.is_success(), "a shopper has noticed: {answer:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let rolled = eventually("two pods run the new image", READY_PATIENCE, async || {
        let found = world.kubectl.get(&["deployment", &deployment]).await?;
        let status = &found["status"];
        let new = found["spec"]["template"]["spec"]["containers"][0]["image"]
            == format!("{image}-next").as_str();
        ensure!(
            new && status["updatedReplicas"] == 2
                && status["readyReplicas"] == 2
                && status["replicas"] == 2
                && status["observedGeneration"] == found["metadata"]["generation"],
            "{status}"
        );
        Ok(())
    });
    tokio::select! {
        noticed = browse => noticed?,
        rolled = rolled => rolled?,
    }
    world.ready().await?;
    ensure!(world.pods("order").await? == before, "an untouched service was restarted");
    let patch = json!({"spec": {"services": null}});
    world.kubectl.patch(&format!("shop/{SHOP}"), &patch).await?;
    world.ready().await?;
    world.sells().await
}

/// An image that does not exist: the old pods keep serving, the Shop says what is wrong.
pub(crate) async fn bad_image(world: World) -> Result<()> {
    let review = json!({"name": "review", "image": "localhost/shop-operator/review:missing"});
    let patch = json!({"spec": {"services": [review]}});
    world.kubectl.patch(&format!("shop/{SHOP}"), &patch).await?;
    eventually("the Shop says that it is not what it should be", READY_PATIENCE, async || {
        let shop = world.kubectl.get(&["shop", SHOP]).await?;
        let progressing = condition(&shop, "Progressing");
        let migrated = condition(&shop, "MigrationsApplied");
        ensure!(
            shop["status"]["observedGeneration"] == shop["metadata"]["generation"]
                && migrated["status"] == "False",
            "{progressing} {migrated}"
        );
        Ok(())
    })
    .await?;
    world.sells().await?;
    let patch = json!({"spec": {"services": null}});
    world.kubectl.patch(&format!("shop/{SHOP}"), &patch).await?;
    world.ready().await
}

/// Deleted under Retain, applied again: accounts, orders and stock are those of before.
pub(crate) async fn adopt(world: World) -> Result<()> {
    let shopper = world.shopper().await?;
    let page = shopper.find_product(1).await?;
    let order = shopper.order(page["id"].as_str().context("no id")?, 1, "tok_visa").await?;
    shopper.wait_for(&order, "paid").await?;
    world.kubectl.run(&["delete", "shop", SHOP, "--wait", "--timeout=120s"]).await?;
    eventually("the pods are gone", READY_PATIENCE, async || {
        let pods = world.kubectl.pods(&format!("app.kubernetes.io/instance={SHOP}")).await?;
        ensure!(pods.is_empty(), "{} pods are left", pods.len());
        Ok(())
    })
    .await?;
    world.kubectl.apply(&World::shop(&spec())).await?;
    world.ready().await?;
    let shopper = eventually("the account has survived", READY_PATIENCE, async || {
        let mut again = shopper.clone().moved(&world.gateway().await?);
        again.login().await?;
        Ok(again)
    })
    .await?;
    let kept = shopper.get(&format!("/orders/{order}")).await?.ok()?;
    ensure!(kept["status"] == "paid", "{kept}");
    world.sells().await
}

/// Deleted under Delete: nothing of the shop is left in the namespace.
pub(crate) async fn delete(world: World) -> Result<()> {
    let patch = json!({"spec": {"deletionPolicy": "Delete"}});
    world.kubectl.patch(&format!("shop/{SHOP}"), &patch).await?;
    world.ready().await?;
    world.kubectl.run(&["delete", "shop", SHOP, "--wait", "--timeout=180s"]).await?;
    let kinds = "pods,deployments,statefulsets,services,jobs,networkpolicies,serviceaccounts,\
        configmaps,secrets,persistentvolumeclaims,poddisruptionbudgets,horizontalpodautoscalers";
    eventually("nothing is left", READY_PATIENCE, async || {
        let selector = format!("app.kubernetes.io/instance={SHOP}");
        let left = world.kubectl.run(&["get", kinds, "-l", &selector, "-o", "name"]).await?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    })
    .await
}
