//! The probes of the engines, by which `cluster/test` waits for their images too.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{
    build::{objects, templates},
    support::{documents, repository, validated},
};

/// What a container's readiness probe does: its command, or the number of the port that it connects to.
fn probe(container: &Value) -> Value {
    let probe = &container["readinessProbe"];
    if let Some(command) = probe.pointer("/exec/command") {
        return json!({ "command": command });
    }
    let port = &probe["tcpSocket"]["port"];
    let ports = container["ports"].as_array().into_iter().flatten();
    let mut named =
        ports.filter(|named| named["name"] == *port).map(|named| &named["containerPort"]);
    json!({ "port": named.next().unwrap_or(port) })
}

#[test]
fn the_local_cluster_tries_the_probes_of_the_operator() {
    let ours: BTreeMap<String, Value> = templates(&objects(&validated(json!({}))))
        .into_iter()
        .filter_map(|(_, template)| {
            let container = template["spec"]["containers"][0].clone();
            let engine = container["name"].as_str()?.to_owned();
            let is_engine = container["readinessProbe"]["httpGet"].is_null()
                && !container["readinessProbe"].is_null();
            is_engine.then(|| (engine, probe(&container)))
        })
        .collect();
    assert_eq!(ours.len(), 5, "{ours:?}");

    let yaml = fs::read_to_string(repository("cluster/tests/engines.yaml")).unwrap();
    let mut tried: BTreeMap<String, Value> = documents(&yaml)
        .into_iter()
        .filter(|document| document["kind"] == "Pod")
        .map(|pod| {
            let container = &pod["spec"]["containers"][0];
            (container["name"].as_str().unwrap().to_owned(), probe(container))
        })
        .collect();
    // The image has the operator's own script as a file.
    let script = fs::read_to_string(repository("cluster/images/redis/ready.sh")).unwrap();
    let redis = tried.get_mut("redis").unwrap();
    assert_eq!(*redis, json!({ "command": ["/ready.sh"] }));
    *redis = json!({ "command": ["sh", "-c", script] });
    assert_eq!(ours, tried);
}

#[test]
fn a_probe_starts_no_process_but_the_one_that_it_becomes() {
    for (owner, template) in templates(&objects(&validated(json!({})))) {
        let container = &template["spec"]["containers"][0];
        for kind in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let Some(command) = container[kind].pointer("/exec/command") else { continue };
            let command = command.as_array().unwrap();
            let Some(script) = command.get(2).filter(|_| command[0] == "sh") else { continue };
            let lines = script.as_str().unwrap().lines().filter(|line| !line.starts_with('#'));
            let lines: Vec<&str> = lines.collect();
            for line in &lines {
                // A substitution, a single `|` and `&` are children.
                let line = line.replace("||", "").replace("&&", "");
                assert!(!line.contains(['|', '&', '`']) && !line.contains("$("), "{owner}: {line}");
            }
            assert!(lines.last().unwrap().starts_with("exec "), "{owner}: {script}");
        }
    }
}
