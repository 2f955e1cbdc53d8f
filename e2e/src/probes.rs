//! Probes of containers, sent as the kubelet sends them. Network policies let only a pod's own node in, so HTTP and TCP
//! probes start inside the pod's network: the nodes must be on this machine.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::containers;
use crate::kubectl::Kubectl;

/// A readiness or liveness probe of a running container.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Pod, container and kind.
    pub name: String,
    action: Action,
}

#[derive(Clone, Debug)]
enum Action {
    Exec {
        kubectl: Kubectl,
        pod: String,
        container: String,
        command: Vec<String>,
    },
    /// A URL, asked in the network of this process.
    Http {
        process: u32,
        url: String,
    },
    /// An address and a port, in the network of this process.
    Tcp {
        process: u32,
        address: String,
        port: String,
    },
}

impl Probe {
    /// The probes of every container of those of these pods that run.
    pub fn of(kubectl: &Kubectl, pods: &[Value]) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for pod in pods.iter().filter(|pod| pod["status"]["phase"] == "Running") {
            for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
                for kind in ["readinessProbe", "livenessProbe"] {
                    let action = Action::of(kubectl, pod, container, &container[kind])?;
                    let [pod, container] = [&pod["metadata"]["name"], &container["name"]].map(text);
                    let name = format!("{}/{} {kind}", pod?, container?);
                    all.extend(action.map(|action| Self { name, action }));
                }
            }
        }
        ensure!(!all.is_empty(), "no container has a probe");
        Ok(all)
    }

    /// Sends the probe so many times, one after another, each on a connection of its own. Returns how many failed.
    pub async fn send(&self, times: u32) -> Result<usize> {
        self.action.run(times).await.with_context(|| format!("{} cannot be sent", self.name))
    }
}

impl Action {
    /// What a probe does; nothing without a probe.
    fn of(
        kubectl: &Kubectl,
        pod: &Value,
        container: &Value,
        probe: &Value,
    ) -> Result<Option<Self>> {
        let port = |port: &Value| {
            let ports = container["ports"].as_array();
            let named = ports.and_then(|all| all.iter().find(|known| known["name"] == *port));
            named.map_or(port, |named| &named["containerPort"]).to_string()
        };
        if let Some(command) = probe["exec"]["command"].as_array() {
            return Ok(Some(Self::Exec {
                kubectl: kubectl.clone(),
                pod: text(&pod["metadata"]["name"])?,
                container: text(&container["name"])?,
                command: command.iter().map(text).collect::<Result<_>>()?,
            }));
        }
        let process = || containers::process_of(pod);
        let address = || text(&pod["status"]["podIP"]);
        if let Some(http) = probe.get("httpGet") {
            let url =
                format!("http://{}:{}{}", address()?, port(&http["port"]), text(&http["path"])?);
            return Ok(Some(Self::Http { process: process()?, url }));
        }
        let Some(tcp) = probe.get("tcpSocket") else { return Ok(None) };
        Ok(Some(Self::Tcp { process: process()?, address: address()?, port: port(&tcp["port"]) }))
    }

    async fn run(&self, times: u32) -> Result<usize> {
        let count = times.to_string();
        match self {
            Self::Exec { kubectl, pod, container, command } => {
                let shell = ["sh", "-c", REPEAT, "sh", &count];
                let mut arguments = vec!["exec", pod, "-c", container, "--"];
                arguments.extend(shell.into_iter().chain(command.iter().map(String::as_str)));
                Ok(kubectl.run(&arguments).await?.trim().parse()?)
            }
            Self::Http { process, url } => {
                let urls = format!("{url}?[1-{times}]");
                let silent = ["--silent", "--max-time", "10", "--output", "/dev/null"];
                let close = ["--header", "Connection: close"];
                let codes = ["--write-out", "%{http_code}\n", &urls];
                let printed =
                    inside(*process, &[&["curl"][..], &silent, &close, &codes].concat()).await?;
                ensure!(printed.lines().count() == times as usize, "curl says {printed:?}");
                Ok(printed.lines().filter(|code| !code.starts_with('2')).count())
            }
            Self::Tcp { process, address, port } => {
                let command = ["bash", "-c", CONNECT, "bash", &count, address, port];
                Ok(inside(*process, &command).await?.trim().parse()?)
            }
        }
    }
}

/// Runs a command so often as the first argument says, and prints how many times it failed.
const REPEAT: &str = r#"n=$1 f=0 i=0; shift
while [ $i -lt $n ]; do "$@" >/dev/null 2>&1 || f=$((f + 1)); i=$((i + 1)); done; echo $f"#;
/// Opens and closes so many connections as the first argument says, and prints how many times it failed.
const CONNECT: &str = r#"f=0
for ((i = 0; i < $1; i++)); do (: <>"/dev/tcp/$2/$3") 2>/dev/null || ((f++)); done; echo $f"#;

/// Runs a command of this machine in the network of a process. Returns what it prints.
async fn inside(process: u32, command: &[&str]) -> Result<String> {
    let mut nsenter = Command::new("nsenter");
    nsenter.arg(format!("--net=/proc/{process}/ns/net")).args(command).kill_on_drop(true);
    let output = nsenter.stdin(Stdio::null()).output().await?;
    Ok(String::from_utf8(output.stdout)?)
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).context("no text in a pod")
}
