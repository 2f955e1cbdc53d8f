//! `kill -9` inside of pods.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::eventually;
use crate::kubectl::Kubectl;

/// SIGKILL for the processes of a pod, which lives on: waits until its container was started again. False,
/// and nothing done, if its node is not a part of this machine.
pub async fn in_place(kubectl: &Kubectl, pod: &Value, patience: Duration) -> Result<bool> {
    let metadata = &pod["metadata"];
    let (name, uid) = (metadata["name"].as_str(), metadata["uid"].as_str());
    let (name, uid) = name.zip(uid).context("a pod has a name and a uid")?;
    let processes = processes(uid)?;
    if processes.is_empty() {
        return Ok(false);
    }
    let killed = Command::new("kill").arg("-KILL").args(&processes).status().await?;
    ensure!(killed.success(), "the processes {processes:?} of {name} could not be killed");
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    eventually("the container was started again", patience, async || {
        let now = kubectl.get(&["pod", name]).await?;
        ensure!(restarts(&now) > restarts(pod), "{}", now["status"]);
        Ok(())
    })
    .await?;
    Ok(true)
}

/// Processes of a pod on this machine, without the one that holds its namespaces open. A node of
/// `cluster/` or of kind is a part of this machine, so its pods are seen here.
fn processes(uid: &str) -> Result<Vec<String>> {
    let escaped = uid.replace('-', "_");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        // A process may end while it is looked at.
        let groups = std::fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        let command = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        let of_pod = groups.contains(uid) || groups.contains(&escaped);
        if of_pod && command.trim() != "pause" {
            found.extend(path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    Ok(found)
}
