//! Command line and environment of the operator.

use std::net::{Ipv4Addr, SocketAddr};

use clap::{Args, Parser, Subcommand};
use operator_core::names::OPERATOR;

/// Turns `Shop` resources into working online stores.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What to do; `run` if absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `run`.
    #[command(flatten)]
    pub settings: Settings,
}

/// What the program can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Reconcile Shops until told to stop.
    #[default]
    Run,
    /// Print the definition of the resource as YAML.
    Crd,
    /// The definition of the resource in the cluster.
    #[command(subcommand)]
    Crds(CrdsCommand),
    /// Wait until a replica leads; fail if none does.
    Check {
        /// `host:port` of the admin ports; a name may stand for several replicas.
        address: String,
        /// How long to wait, in seconds.
        #[arg(long, default_value_t = 60)]
        patience: u64,
    },
}

/// What can be done with the definition in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum CrdsCommand {
    /// Install or upgrade it; fail if it belongs to a newer operator.
    Apply,
}

/// Everything that is configured from outside. Images are by default those that this repository
/// makes; images of engines from elsewhere do not run, see `docs/decisions/0012-engine-images.md`.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Repository of the services' images; the name of the service follows after a slash.
    #[arg(long, env, default_value = "localhost/shop-operator")]
    pub service_image_repository: String,
    /// Version of the services of a Shop that names none.
    #[arg(long, env, default_value = env!("CARGO_PKG_VERSION"))]
    pub service_version: String,
    /// Image of bundled Postgres.
    #[arg(long, env, default_value = "localhost/shop-operator/postgres:15")]
    pub postgres_image: String,
    /// Image of bundled Redis.
    #[arg(long, env, default_value = "localhost/shop-operator/redis:7")]
    pub redis_image: String,
    /// Image of bundled Kafka.
    #[arg(long, env, default_value = "localhost/shop-operator/kafka:4.1")]
    pub kafka_image: String,
    /// Image of the bundled mail catcher.
    #[arg(long, env, default_value = "localhost/shop-operator/mail:2")]
    pub mail_image: String,
    /// Image of the bundled object store.
    #[arg(long, env, default_value = "localhost/shop-operator/objects:1")]
    pub objects_image: String,
    /// Namespace of the operator, where its Lease lives.
    #[arg(long, env, default_value = "shop-operator")]
    pub operator_namespace: String,
    /// Name of this pod; part of its identity as a leader and as a reporter of events.
    #[arg(long, env, default_value = "shop-operator")]
    pub pod_name: String,
    /// UID of this pod, for events about it.
    #[arg(long, env)]
    pub pod_uid: Option<String>,
    /// Comma-separated namespaces to watch; all if empty.
    #[arg(long, env, value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Log filter in the syntax of `tracing-subscriber`'s `EnvFilter`.
    #[arg(long, env, default_value = "info")]
    pub log_level: String,
    /// Listen address of the admin port.
    #[arg(long, env, default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9091)))]
    pub admin_addr: SocketAddr,
    /// DNS domain of the cluster.
    #[arg(long, env, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// How many Shops are reconciled at the same time.
    #[arg(long, env, default_value_t = 8)]
    pub concurrency: u16,
    /// OTLP/gRPC endpoint for traces; none are exported without.
    #[arg(long, env = contracts::env::OTLP_ENDPOINT)]
    pub otlp_endpoint: Option<String>,
}

impl Settings {
    /// What to tell of this process, and to whom. What `crd` and `check` print is on standard output,
    /// so the log is not.
    pub fn telemetry(&self) -> telemetry::Settings {
        telemetry::Settings {
            service: OPERATOR,
            version: env!("CARGO_PKG_VERSION"),
            shop: None,
            output: telemetry::Output::Stderr,
            log_level: self.log_level.clone(),
            otlp_endpoint: self.otlp_endpoint.clone(),
        }
    }

    /// The namespaces to watch, each on its own; `None` is all of them.
    pub fn scopes(&self) -> Vec<Option<String>> {
        let named = self.watch_namespaces.iter().filter(|name| !name.is_empty());
        let scopes: Vec<_> = named.cloned().map(Some).collect();
        if scopes.is_empty() { vec![None] } else { scopes }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["shop-operator", "crd"]);
        assert_eq!(cli.command, Some(Command::Crd));
        let cli = Cli::parse_from(["shop-operator", "crds", "apply"]);
        assert_eq!(cli.command, Some(Command::Crds(CrdsCommand::Apply)));
    }

    #[test]
    fn the_chart_and_the_program_name_the_same_images() {
        let values = include_str!("../../charts/shop-operator/values.yaml");
        let values: serde_json::Value = serde_yaml_ng::from_str(values).unwrap();
        let settings = Cli::parse_from(["shop-operator"]).settings;
        assert_eq!(values["services"]["repository"], settings.service_image_repository);
        let engines = json!({
            "postgres": settings.postgres_image, "redis": settings.redis_image,
            "kafka": settings.kafka_image, "mail": settings.mail_image,
            "objects": settings.objects_image,
        });
        assert_eq!(values["engines"], engines);
    }
}
