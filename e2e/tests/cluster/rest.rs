//! With nothing to do, the operator writes nothing.

use std::env;
use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::kubectl::Kubectl;
use serde_json::Value;

use crate::world::{READY_PATIENCE, SHOP, World, condition};

/// Where the API server says who has changed what; `cluster/cluster audit-log` prints the path.
pub(crate) const AUDIT_LOG: &str = "AUDIT_LOG";
/// How often the operator is made to look at everything again.
const ROUNDS: u32 = 10;

/// The operator as the API server knows it.
const OPERATOR: &str = "system:serviceaccount:shop-system:shop-operator";

/// Every touch of the Shop makes the operator look at everything again; there is nothing to mend.
pub(crate) async fn rest(world: World) -> Result<()> {
    let log = env::var(AUDIT_LOG).context("the audit log of the API server is not named")?;
    eventually("everything is in place", READY_PATIENCE, async || {
        let shop = world.kubectl.get(&["shop", SHOP]).await?;
        let progressing = condition(&shop, "Progressing");
        ensure!(progressing["status"] == "False", "{progressing}");
        Ok(())
    })
    .await?;
    let before = writes(&log)?;
    ensure!(!before.is_empty(), "the operator has never written anything");
    for round in 0..ROUNDS {
        let seen = reconciles().await?;
        let annotation = format!("e2e/touched={round}");
        world.kubectl.run(&["annotate", "--overwrite", "shop", SHOP, &annotation]).await?;
        eventually("the operator has looked at the Shop", READY_PATIENCE, async || {
            ensure!(reconciles().await? > seen, "it has not");
            Ok(())
        })
        .await?;
    }
    let after = writes(&log)?;
    let new: Vec<_> = after.iter().skip(before.len()).collect();
    ensure!(new.is_empty(), "written at rest: {new:?}");
    Ok(())
}

/// What the operator has written, but for its Lease, which ticks at rest.
fn writes(log: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {log}"))?;
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.contains(OPERATOR)) {
        let event: Value = serde_json::from_str(line)?;
        let object = &event["objectRef"];
        if event["user"]["username"] == OPERATOR && object["resource"] != "leases" {
            found.push(format!("{} {object}", event["verb"]));
        }
    }
    Ok(found)
}

/// Reconciliations that have ended, of all replicas.
async fn reconciles() -> Result<u64> {
    let operator = Kubectl::new("shop-system");
    let mut sum = 0;
    for pod in operator.pods("app.kubernetes.io/name=shop-operator").await? {
        let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
        let metrics = operator.metrics(name).await?;
        let counts = metrics
            .lines()
            .filter(|line| line.starts_with("shop_operator_reconcile_duration_seconds_count"))
            .filter_map(|line| line.rsplit(' ').next());
        for count in counts {
            sum += count.parse::<u64>()?;
        }
    }
    Ok(sum)
}
