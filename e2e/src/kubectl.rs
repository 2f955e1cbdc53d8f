//! The cluster, through the `kubectl` that everybody has.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Port of probes and metrics, of services and the operator alike.
const ADMIN: u16 = 9091;

/// A namespace of a cluster.
#[derive(Clone, Debug)]
pub struct Kubectl {
    namespace: String,
}

impl Kubectl {
    /// The namespace; the cluster is the one that `KUBECONFIG` names.
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(["--namespace", &self.namespace]).args(arguments).kill_on_drop(true);
        command
    }

    /// Runs `kubectl` and returns what it prints; fails with what it complains about.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_with(arguments, "").await
    }

    /// Runs `kubectl` with this on its standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("kubectl is not installed")?;
        let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", arguments.join(" "), complaint.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `kubectl apply -f -`.
    pub async fn apply(&self, manifest: &Value) -> Result<()> {
        self.run_with(&["apply", "-f", "-"], &manifest.to_string()).await.map(drop)
    }

    /// `kubectl get` as JSON.
    pub async fn get(&self, arguments: &[&str]) -> Result<Value> {
        let arguments = [&["get", "-o", "json"], arguments].concat();
        Ok(serde_json::from_str(&self.run(&arguments).await?)?)
    }

    /// `kubectl patch --type merge`.
    pub async fn patch(&self, object: &str, patch: &Value) -> Result<()> {
        self.run(&["patch", object, "--type", "merge", "-p", &patch.to_string()]).await.map(drop)
    }

    /// `kubectl wait`.
    pub async fn wait(&self, condition: &str, object: &str, patience: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", patience.as_secs());
        self.run(&["wait", &format!("--for={condition}"), object, &timeout]).await.map(drop)
    }

    /// Names of the pods with these labels, in whatever phase.
    pub async fn pods(&self, selector: &str) -> Result<Vec<Value>> {
        let list = self.get(&["pods", "--selector", selector]).await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Forwards a local port to `service/<name>` or `pod/<name>` for as long as the result lives.
    pub async fn forward(&self, target: &str, port: u16) -> Result<Forward> {
        let mut child = self
            .command(&["port-forward", target, &format!(":{port}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().context("kubectl has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(Duration::from_secs(10), lines.next_line())
            .await
            .context("kubectl port-forward says nothing")??
            .with_context(|| format!("cannot forward to {target}:{port}"))?;
        let address = line
            .strip_prefix("Forwarding from ")
            .and_then(|rest| rest.split(' ').next())
            .with_context(|| format!("kubectl port-forward says {line:?}"))?;
        let url = format!("http://{address}");
        // kubectl stops forwarding when nobody reads what it says.
        let reader =
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Forward { url, _child: child, reader })
    }

    /// What a pod measures of itself, from its admin port, in the text format of Prometheus.
    pub async fn metrics(&self, pod: &str) -> Result<String> {
        let forward = self.forward(&format!("pod/{pod}"), ADMIN).await?;
        let answer = crate::client()?
            .get(format!("{}/metrics", forward.url))
            .send()
            .await?
            .error_for_status()?;
        Ok(answer.text().await?)
    }

    /// Finds a way to a Service from here: its own address where that is routed to, as on the
    /// cluster of `cluster/`, else a forwarded port.
    pub async fn reach(&self, service: &str, port: u16) -> Result<Address> {
        let object = self.get(&["service", service]).await?;
        if let Some(address) = object["spec"]["clusterIP"].as_str() {
            let ports = object["spec"]["ports"].as_array().cloned().unwrap_or_default();
            let exposed = ports.iter().find_map(|p| p["port"].as_u64()).unwrap_or(u64::from(port));
            let connect = tokio::net::TcpStream::connect(format!("{address}:{exposed}"));
            if matches!(tokio::time::timeout(Duration::from_secs(1), connect).await, Ok(Ok(_))) {
                return Ok(Address { url: format!("http://{address}:{exposed}"), _forward: None });
            }
        }
        let forward = self.forward(&format!("service/{service}"), port).await?;
        Ok(Address { url: forward.url.clone(), _forward: Some(Arc::new(forward)) })
    }
}

/// Where a Service is reached from here. A forwarded port ends with the last clone.
#[derive(Clone, Debug)]
pub struct Address {
    /// Scheme, host and port.
    pub url: String,
    _forward: Option<Arc<Forward>>,
}

/// A forwarded port. Ends when dropped.
#[derive(Debug)]
pub struct Forward {
    /// Where it begins.
    pub url: String,
    _child: Child,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
