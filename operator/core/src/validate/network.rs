//! Rules of network policies that are passed on: what the API server would refuse in a policy, refused in the Shop.

use std::net::IpAddr;

use contracts::Network;
use k8s_openapi::api::networking::v1::{
    NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::errors::Errors;

pub(super) fn check(rules: &[NetworkPolicyEgressRule], errors: &mut Errors) {
    for (i, rule) in rules.iter().enumerate() {
        let path = format!("spec.networkPolicies.additionalEgress[{i}]");
        for (i, peer) in rule.to.iter().flatten().enumerate() {
            check_peer(&format!("{path}.to[{i}]"), peer, errors);
        }
        for (i, port) in rule.ports.iter().flatten().enumerate() {
            check_port(&format!("{path}.ports[{i}]"), port, errors);
        }
    }
}

fn check_peer(path: &str, peer: &NetworkPolicyPeer, errors: &mut Errors) {
    let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
    if selects == peer.ip_block.is_some() {
        errors.invalid(
            path,
            "has either ipBlock, or podSelector and namespaceSelector or one of them",
        );
    }
    let Some(block) = &peer.ip_block else { return };
    let Some((network, _, bits)) = network(&block.cidr) else {
        let message = format!("`{}` is not a network such as 10.0.0.0/8", block.cidr);
        errors.invalid(format!("{path}.ipBlock.cidr"), message);
        return;
    };
    for (i, except) in block.except.iter().flatten().enumerate() {
        let is_part = self::network(except)
            .is_some_and(|(_, address, longer)| network.contains(address) && longer > bits);
        if !is_part {
            let message = format!("`{except}` is not a part of {}", block.cidr);
            errors.invalid(format!("{path}.ipBlock.except[{i}]"), message);
        }
    }
}

/// A network with its address and its bits; an address alone is none here.
fn network(cidr: &str) -> Option<(Network, IpAddr, u8)> {
    let (address, bits) = cidr.split_once('/')?;
    Some((cidr.parse().ok()?, address.parse().ok()?, bits.parse().ok()?))
}

fn check_port(path: &str, port: &NetworkPolicyPort, errors: &mut Errors) {
    let number = |number: i32| (1..=65535).contains(&number);
    match &port.port {
        Some(IntOrString::Int(first)) if !number(*first) => {
            errors.invalid(format!("{path}.port"), format!("{first} is not from 1 to 65535"));
        }
        Some(IntOrString::Int(first)) if port.end_port.is_some_and(|last| last < *first) => {
            errors.invalid(format!("{path}.endPort"), "is below port");
        }
        Some(IntOrString::String(name)) if !is_port_name(name) => {
            errors.invalid(format!("{path}.port"), format!("`{name}` is no name of a port"));
        }
        None | Some(IntOrString::String(_)) if port.end_port.is_some() => {
            errors.invalid(format!("{path}.endPort"), "needs a port that is a number");
        }
        _ => {}
    }
}

/// At most 15 lower-case letters, digits and single hyphens, with a letter among them (RFC 6335).
fn is_port_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=15).contains(&name.len())
        && name.starts_with(is_word)
        && name.ends_with(is_word)
        && name.chars().all(|c| is_word(c) || c == '-')
        && name.contains(|c: char| c.is_ascii_lowercase())
        && !name.contains("--")
}
