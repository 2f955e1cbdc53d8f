//! Environment variables that the spec passes on, and what proxies among them entail.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMapKeySelector, EnvVar, EnvVarSource, SecretKeySelector};

use super::pod::var;
use crate::crd;

/// Names of the variables that HTTP clients find a proxy by.
const PROXIES: [&str; 6] =
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
/// Names of the variable with what is reached without one. Clients read the first that is there.
const DIRECT: [&str; 2] = ["NO_PROXY", "no_proxy"];

const SOCKS_PORT: u16 = 1080;

/// The variables of a pod. Where there is a proxy, what is in the cluster is reached without it: services call each
/// other by HTTP.
pub(super) fn variables(asked: &[crd::EnvVar], cluster_domain: &str) -> Vec<EnvVar> {
    let mut variables: Vec<EnvVar> = asked.iter().map(variable).collect();
    if !asked.iter().any(|variable| PROXIES.contains(&&*variable.name)) {
        return variables;
    }
    let local = format!("localhost,127.0.0.1,::1,.svc,.{cluster_domain}");
    let mut named = false;
    for variable in variables.iter_mut().filter(|variable| DIRECT.contains(&&*variable.name)) {
        named = true;
        if let Some(hosts) = variable.value.as_mut().filter(|hosts| *hosts != "*") {
            let separator = if hosts.trim().is_empty() { "" } else { "," };
            *hosts = format!("{}{separator}{local}", hosts.trim());
        }
    }
    if !named {
        variables.push(var(DIRECT[0], local));
    }
    variables
}

/// Ports of the proxies, as far as the spec itself says them.
pub(super) fn proxy_ports(asked: &[crd::EnvVar]) -> BTreeSet<u16> {
    let proxies = asked.iter().filter(|variable| PROXIES.contains(&&*variable.name));
    let port = |address: &str| {
        // Clients take an address without a scheme for one of HTTP.
        let with_scheme = if address.contains("://") { "" } else { "http://" };
        let url = url::Url::parse(&format!("{with_scheme}{address}")).ok()?;
        url.port_or_known_default().or(Some(SOCKS_PORT))
    };
    proxies.filter_map(|variable| port(variable.value.as_deref()?)).collect()
}

fn variable(asked: &crd::EnvVar) -> EnvVar {
    let optional = |key: &crd::EnvKeySelector| key.optional.then_some(true);
    let source = asked.value_from.as_ref().map(|source| EnvVarSource {
        secret_key_ref: source.secret_key_ref.as_ref().map(|key| SecretKeySelector {
            name: key.name.clone(),
            key: key.key.clone(),
            optional: optional(key),
        }),
        config_map_key_ref: source.config_map_key_ref.as_ref().map(|key| ConfigMapKeySelector {
            name: key.name.clone(),
            key: key.key.clone(),
            optional: optional(key),
        }),
        ..EnvVarSource::default()
    });
    EnvVar { name: asked.name.clone(), value: asked.value.clone(), value_from: source }
}
