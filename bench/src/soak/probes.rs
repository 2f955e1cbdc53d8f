//! Every probe of every container, once a second: what leaks at a probe shows itself in minutes. Network policies let only
//! a pod's own node in, so they are asked from inside the pod's network.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::kubectl::Kubectl;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Running, containers};

/// Between two probes of a container.
const PERIOD: Duration = Duration::from_secs(1);
/// For one probe.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a hundred probes so many may fail.
const MAX_FAILED_PERCENT: u32 = 2;

/// The probes of a shop.
pub(super) struct Probes(Vec<Probe>);

/// How a container is asked.
struct Probe {
    name: String,
    how: How,
}

enum How {
    Exec {
        kubectl: Kubectl,
        arguments: Vec<String>,
    },
    /// A command in the network of this process.
    Inside {
        process: u32,
        command: Vec<String>,
    },
}

impl Probes {
    /// Readiness and liveness of every container that runs.
    pub(super) async fn of(kubectl: &Kubectl, shop: &str) -> Result<Self> {
        let mut all = Vec::new();
        for pod in kubectl.pods(&format!("app.kubernetes.io/instance={shop}")).await? {
            if pod["status"]["phase"] != "Running" {
                continue;
            }
            for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
                for kind in ["readinessProbe", "livenessProbe"] {
                    let how = how(kubectl, &pod, container, &container[kind])?;
                    let pod_name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
                    let name = format!("{pod_name} {kind}");
                    all.extend(how.map(|how| Probe { name, how }));
                }
            }
        }
        ensure!(!all.is_empty(), "no container has a probe");
        Ok(Self(all))
    }

    /// Probes until stopped; says then which have failed too often.
    pub(super) fn start(self) -> Running<Vec<String>> {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let running: Vec<_> = self
                .0
                .into_iter()
                .map(|probe| tokio::spawn(probe.repeat(stopped.clone())))
                .collect();
            let mut failed = Vec::new();
            for probe in running {
                failed.extend(probe.await?);
            }
            Ok(failed)
        });
        Running { stop, task }
    }
}

impl Probe {
    async fn repeat(self, mut stopped: watch::Receiver<bool>) -> Option<String> {
        let (mut all, mut failed) = (0_u32, 0_u32);
        let mut clock = interval(PERIOD);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stopped.borrow() {
            tokio::select! {
                _ = stopped.changed() => break,
                _ = clock.tick() => {}
            }
            all += 1;
            if !matches!(timeout(TIMEOUT, self.ask()).await, Ok(Ok(()))) {
                failed += 1;
            }
        }
        let many = failed * 100 > all * MAX_FAILED_PERCENT;
        many.then(|| format!("{}: {failed} of {all} probes failed", self.name))
    }

    async fn ask(&self) -> Result<()> {
        match &self.how {
            How::Exec { kubectl, arguments } => {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                kubectl.run(&arguments).await.map(drop)
            }
            How::Inside { process, command } => {
                let network = format!("--net=/proc/{process}/ns/net");
                let mut asked = Command::new("nsenter");
                asked.arg(network).args(command).kill_on_drop(true);
                asked.stdout(Stdio::null()).stderr(Stdio::null());
                let status = asked.status().await?;
                ensure!(status.success(), "{status}");
                Ok(())
            }
        }
    }
}

/// As the kubelet would do it; nothing without a probe.
fn how(kubectl: &Kubectl, pod: &Value, container: &Value, probe: &Value) -> Result<Option<How>> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no text in a probe");
    let address = |port: &Value| {
        let ports = container["ports"].as_array();
        let named = ports.and_then(|all| all.iter().find(|known| known["name"] == *port));
        let port = named.map_or(port, |named| &named["containerPort"]);
        anyhow::Ok(format!("{}:{port}", text(&pod["status"]["podIP"])?))
    };
    if let Some(command) = probe["exec"]["command"].as_array() {
        let mut arguments = vec!["exec".to_owned(), text(&pod["metadata"]["name"])?];
        arguments.extend(["-c".to_owned(), text(&container["name"])?, "--".to_owned()]);
        arguments.extend(command.iter().map(text).collect::<Result<Vec<_>>>()?);
        return Ok(Some(How::Exec { kubectl: kubectl.clone(), arguments }));
    }
    let inside = |command: &[&str]| {
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        anyhow::Ok(Some(How::Inside { process: containers::process_of(pod)?, command }))
    };
    if let Some(http) = probe.get("httpGet") {
        let url = format!("http://{}{}", address(&http["port"])?, text(&http["path"])?);
        return inside(&["curl", "--silent", "--fail", "--max-time", "10", &url]);
    }
    let Some(tcp) = probe.get("tcpSocket") else { return Ok(None) };
    inside(&["bash", "-c", &format!(": <>/dev/tcp/{}", address(&tcp["port"])?.replace(':', "/"))])
}
