//! What pods of a shop may connect to.

use operator_core::validate::FieldErrorReason;
use serde_json::{Value, json};

use crate::build::get;
use crate::support::{judged, validated};

fn egress(policies: &Value) -> Vec<Value> {
    let shop = validated(json!({ "networkPolicies": policies }));
    let base = get(&shop, "NetworkPolicy", "demo-base");
    assert!(
        base["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component").is_none()
    );
    base["spec"]["egress"].as_array().cloned().unwrap_or_default()
}

#[test]
fn names_are_looked_up_wherever_the_cluster_has_its_dns() {
    let ports = |numbers: &[u16]| {
        let of = |number: &u16| ["UDP", "TCP"].map(|p| json!({ "port": number, "protocol": p }));
        numbers.iter().flat_map(of).collect::<Vec<_>>()
    };
    let rules = egress(&json!({}));
    // NodeLocal DNSCache is at an address of the node, which no selector finds.
    assert_eq!(rules[0], json!({ "ports": ports(&[53]) }));
    // A Service may map its port to any port of the servers' pods.
    let servers = &rules[1];
    assert!(servers["ports"].is_null(), "{servers}");
    let peers = servers["to"].as_array().expect("never to everywhere");
    let namespaces: Vec<_> = peers
        .iter()
        .map(|peer| peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"].clone())
        .collect();
    assert_eq!(namespaces, ["kube-system", "openshift-dns"]);
    let labels = &peers[0]["podSelector"]["matchExpressions"][0];
    assert_eq!(labels["values"], json!(["kube-dns", "coredns", "node-local-dns"]));
    assert_eq!(rules.len(), 2);

    assert_eq!(
        egress(&json!({ "dns": { "ports": [53, 8053] } }))[0]["ports"],
        json!(ports(&[53, 8053]))
    );
    let none = egress(&json!({ "dns": { "ports": [] } }));
    assert!(none.iter().all(|rule| rule["to"].is_array()), "no rule lets everything out: {none:?}");
}

#[test]
fn policies_can_be_widened() {
    let rule = json!({
        "to": [{
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "redis" } },
            "podSelector": { "matchLabels": { "app": "redis" } },
        }],
        "ports": [{ "port": 6380, "protocol": "TCP" }],
    });
    let rules = egress(&json!({ "additionalEgress": [rule] }));
    assert_eq!(rules.get(2..), Some(std::slice::from_ref(&rule)));
    let shop =
        validated(json!({ "networkPolicies": { "enabled": false, "additionalEgress": [rule] } }));
    let objects = crate::build::objects(&shop);
    assert!(objects.iter().all(|object| object.kind() != "NetworkPolicy"));
}

#[test]
fn rules_that_no_policy_can_have_are_refused() {
    let to = |peer: Value| json!({ "to": [peer] });
    let port = |port: Value| json!({ "ports": [port] });
    for (rule, path) in [
        (to(json!({})), "to[0]"),
        (to(json!({ "ipBlock": { "cidr": "10.0.0.0/8" }, "podSelector": {} })), "to[0]"),
        (to(json!({ "ipBlock": { "cidr": "10.0.0.0/33" } })), "to[0].ipBlock.cidr"),
        (to(json!({ "ipBlock": { "cidr": "10.0.0.1" } })), "to[0].ipBlock.cidr"),
        (
            to(json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["a"] } })),
            "to[0].ipBlock.except[0]",
        ),
        (
            to(json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"] } })),
            "to[0].ipBlock.except[0]",
        ),
        (
            to(json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"] } })),
            "to[0].ipBlock.except[0]",
        ),
        (port(json!({ "port": 0 })), "ports[0].port"),
        (port(json!({ "port": 65536 })), "ports[0].port"),
        (port(json!({ "port": "Redis" })), "ports[0].port"),
        (port(json!({ "port": 2, "endPort": 1 })), "ports[0].endPort"),
        (port(json!({ "port": "redis", "endPort": 1 })), "ports[0].endPort"),
        (port(json!({ "endPort": 1 })), "ports[0].endPort"),
    ] {
        let errors = judged(json!({ "networkPolicies": { "additionalEgress": [rule] } }));
        let errors = errors.expect_err(path);
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, [format!("spec.networkPolicies.additionalEgress[0].{path}")]);
        assert_eq!(errors[0].reason, FieldErrorReason::InvalidSpec);
    }
}
