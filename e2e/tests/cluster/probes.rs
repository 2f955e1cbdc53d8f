//! Probes leave nothing behind.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::containers::{Usage, usage};
use e2e::eventually;
use e2e::kubectl::Kubectl;
use e2e::probes::Probe;
use serde_json::Value;

use crate::world::{SHOP, World};

/// Times that each probe is sent: two hours of the kubelet's.
const PROBES: u32 = 1_000;
/// Probes of these that may fail.
const MAX_FAILED: usize = 50;
/// For what the last probes have begun to end.
const REST_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends every probe of every container of the shop and the operator a thousand times. Afterwards there are as many
/// processes and descriptors as before, no zombies, and no more memory than what fills up once.
pub(crate) async fn leave_nothing_behind(world: World) -> Result<()> {
    let operator = Kubectl::new("shop-system");
    let watched = [
        (&world.kubectl, format!("app.kubernetes.io/instance={SHOP}")),
        (&operator, "app.kubernetes.io/name=shop-operator".to_owned()),
    ];
    let (mut pods, mut probes) = (Vec::new(), Vec::new());
    for (kubectl, selector) in &watched {
        let found = kubectl.pods(selector).await?;
        probes.extend(Probe::of(kubectl, &found)?);
        pods.extend(found);
    }
    let before = usage(&pods).await?;
    for probe in &probes {
        // One may fail on a busy machine, where an engine does not answer in time.
        let failed = probe.send(PROBES).await?;
        ensure!(failed <= MAX_FAILED, "{}: {failed} of {PROBES} fail", probe.name);
    }
    eventually("all is as before", REST_TIMEOUT, async || is_flat(&pods, &before).await).await
}

async fn is_flat(pods: &[Value], before: &BTreeMap<String, Usage>) -> Result<()> {
    let now = usage(pods).await?;
    for (name, before) in before {
        let now = now.get(name).copied().unwrap_or_default();
        ensure!(now.processes > 0, "{name} is gone");
        // Backends open the files of tables as they read them. What a probe leaves there is a process.
        let has_backends = name.contains("postgres");
        // Workers and connections come and go, and caches fill.
        ensure!(
            now.zombies == 0
                && now.processes <= before.processes + 10
                && (has_backends || now.descriptors <= before.descriptors + 30)
                && now.memory <= before.memory + (64 << 20),
            "{name}: before {before:?}, after {now:?}"
        );
    }
    Ok(())
}
