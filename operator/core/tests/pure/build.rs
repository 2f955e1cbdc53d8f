//! What holds of the objects of every shop.

use contracts::{env, ports};
use operator_core::role::Role;
use operator_core::{
    build::{CredentialKind, SecretHashes, credentials, databases, desired, topics},
    components::COMPONENTS,
    crd::ServiceName,
    names,
    object::{Object, Stage},
    validate::{ValidatedShop, validate},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{config, hashes, observed, shop, validated};

pub(crate) fn objects(shop: &ValidatedShop) -> Vec<Object> {
    desired(shop, &hashes(shop)).iter().map(|(_, object)| object.clone()).collect()
}

fn find(objects: &[Object], kind: &str, name: &str) -> Option<Value> {
    let object = objects.iter().find(|object| object.kind() == kind && object.name() == name)?;
    Some(serde_json::to_value(&object.body).expect("an object is JSON"))
}

pub(crate) fn get(shop: &ValidatedShop, kind: &str, name: &str) -> Value {
    find(&objects(shop), kind, name).unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

/// The pod templates among objects, with the name of each owner.
pub(crate) fn templates(objects: &[Object]) -> Vec<(String, Value)> {
    let template = |object: &Object| {
        let scheduled = || object.body.data.pointer("/spec/jobTemplate/spec/template");
        let template = object.body.data.pointer("/spec/template").or_else(scheduled)?.clone();
        Some((format!("{} {}", object.kind(), object.name()), template))
    };
    objects.iter().filter_map(template).collect()
}

#[test]
fn every_pod_passes_the_restricted_standard() {
    for (owner, template) in
        templates(&objects(&validated(json!({ "demoData": true, "backup": {} }))))
    {
        let pod = &template["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false, "{owner}");
        assert_eq!(pod["enableServiceLinks"], false, "{owner}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{owner}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{owner}");
        let before = pod["initContainers"].as_array().into_iter().flatten();
        for container in pod["containers"].as_array().unwrap().iter().chain(before) {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{owner}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{owner}");
            assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }), "{owner}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{owner}");
        }
    }
}

#[test]
fn a_new_operator_restarts_nothing_that_stays_the_same() {
    let pinned = json!({ "version": "1.0.0", "mail": { "bundled": {} } });
    let mut newer = config();
    newer.version = "2.0.0".into();
    let old = validate(&shop(pinned.clone()), &observed(&[]), &config()).unwrap();
    let new = validate(&shop(pinned), &observed(&[]), &newer).unwrap();
    assert_eq!(templates(&objects(&old)), templates(&objects(&new)));
}

#[test]
fn selectors_have_no_version() {
    let select = |version: &str| {
        let objects = objects(&validated(json!({ "version": version })));
        let selector = |object: &Object| object.body.data.pointer("/spec/selector").cloned();
        objects.iter().filter_map(selector).collect::<Vec<_>>()
    };
    assert_eq!(select("1.0.0"), select("2.0.0"));
    assert!(!serde_json::to_string(&select("1.0.0")).unwrap().contains("version"));
}

#[test]
fn selectors_find_their_own_pods_only() {
    let objects = objects(&validated(json!({ "demoData": true, "backup": {} })));
    let templates = templates(&objects);
    for object in objects.iter().filter(|object| object.kind() == "Deployment") {
        let wanted = object.body.data["spec"]["selector"]["matchLabels"].as_object().unwrap();
        let matches = |template: &Value| {
            let labels = &template["metadata"]["labels"];
            wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        let found: Vec<_> =
            templates.iter().filter(|(_, t)| matches(t)).map(|(owner, _)| owner).collect();
        assert_eq!(found, [&format!("Deployment {}", object.name())]);
    }
}

#[test]
fn every_object_has_the_standard_labels() {
    let shop = validated(json!({ "demoData": true, "backup": {} }));
    for object in objects(&shop) {
        let labels = object.body.metadata.labels.clone().unwrap_or_default();
        let role = Role::of(&labels).expect("every object has a role");
        for (label, value) in names::object_labels("demo", role) {
            assert_eq!(labels.get(&label), Some(&value), "{} {}", object.kind(), object.name());
        }
    }
}

#[test]
fn no_policy_gives_volumes_an_owner_reference() {
    for policy in ["Delete", "Retain"] {
        let shop = validated(json!({ "deletionPolicy": policy }));
        let mut claims = 0;
        for object in objects(&shop) {
            let metadata = &object.body.metadata;
            let is_claim = object.kind() == "PersistentVolumeClaim";
            claims += usize::from(is_claim);
            let name = format!("{policy}: {} {}", object.kind(), object.name());
            assert_eq!(metadata.owner_references.is_none(), is_claim, "{name}");
            let mark = metadata.annotations.as_ref().and_then(|a| a.get(names::SHOP_UID));
            assert_eq!(mark, is_claim.then_some(&shop.owner.uid), "{name}");
        }
        assert_eq!(claims, 4, "{policy}");
        assert!(credentials(&shop).iter().all(|secret| secret.shop_uid == shop.owner.uid));
    }
}

#[test]
fn only_user_has_the_private_key() {
    let objects = objects(&validated(json!({ "demoData": true, "backup": {} })));
    for (owner, template) in templates(&objects) {
        let text = template.to_string();
        let is_user = template["metadata"]["labels"][names::SERVICE_LABEL] == "user";
        assert_eq!(text.contains("demo-signing-key"), is_user, "{owner}");
        assert_eq!(text.contains(env::ADMIN_PASSWORD), is_user, "{owner}");
        let is_service = template["metadata"]["labels"].get(names::SERVICE_LABEL).is_some();
        assert_eq!(text.contains("demo-public-keys"), is_service, "{owner}");
    }
}

#[test]
fn a_changed_secret_restarts_its_readers_only() {
    let shop = validated(json!({}));
    let pods = |hashes: &SecretHashes| {
        let desired = desired(&shop, hashes);
        let objects: Vec<_> = desired.iter().map(|(_, object)| object.clone()).collect();
        // Who reads it by a Job has no pod to restart.
        templates(&objects).into_iter().filter(|(owner, _)| !owner.starts_with("Job"))
    };
    let restarted = |secret: &str| -> Vec<String> {
        let mut changed = hashes(&shop);
        changed.insert(secret.to_owned(), "changed".to_owned());
        let pairs = pods(&hashes(&shop)).zip(pods(&changed));
        pairs.filter(|(before, after)| before != after).map(|((owner, _), _)| owner).collect()
    };
    assert_eq!(restarted("demo-order-database"), ["Deployment demo-order"]);
    // The server itself takes its new password when it starts.
    assert_eq!(restarted("demo-postgres"), ["StatefulSet demo-postgres"]);
    let readers = ["gateway", "user", "catalog", "cart", "order"]
        .map(|name| format!("Deployment demo-{name}"));
    assert_eq!(
        restarted("demo-redis"),
        [&["StatefulSet demo-redis".to_owned()], &readers[..]].concat()
    );
    let readers = ["StatefulSet demo-objects", "Deployment demo-catalog"];
    assert_eq!(restarted("demo-objects"), readers);
}

#[test]
fn replicas_belong_to_the_autoscaler_where_there_is_one() {
    let shop = validated(json!({ "services": [
        { "name": "catalog", "autoscaling": { "minReplicas": 2, "maxReplicas": 5 } },
        { "name": "order", "replicas": 3 },
    ] }));
    let objects = objects(&shop);
    let deployment = |name| find(&objects, "Deployment", name).unwrap();
    assert!(deployment("demo-catalog")["spec"].get("replicas").is_none());
    assert_eq!(deployment("demo-order")["spec"]["replicas"], 3);
    assert_eq!(deployment("demo-cart")["spec"]["replicas"], 1);
    let there = |kind, name| find(&objects, kind, name).is_some();
    assert!(there("HorizontalPodAutoscaler", "demo-catalog"));
    assert!(!there("HorizontalPodAutoscaler", "demo-order"));
    assert!(there("PodDisruptionBudget", "demo-catalog"));
    assert!(there("PodDisruptionBudget", "demo-order"));
    assert!(!there("PodDisruptionBudget", "demo-cart"), "it would block every drain");
}

#[test]
fn a_disabled_service_leaves_nothing_behind() {
    let shop = validated(json!({ "services": [{ "name": "review", "enabled": false }] }));
    for object in objects(&shop) {
        assert!(!object.name().contains("review"), "{} {}", object.kind(), object.name());
        let text = object.body.data.to_string();
        assert!(!text.contains("REVIEW") && !text.contains("review"), "{}", object.name());
    }
    assert!(databases(&shop).databases.iter().all(|d| d.service != ServiceName::Review));
}

#[test]
fn the_admin_port_is_in_no_service_with_an_address() {
    for object in
        objects(&validated(json!({ "gateway": { "service": { "type": "LoadBalancer" } } })))
    {
        let headless = object.body.data.pointer("/spec/clusterIP") == Some(&json!("None"));
        if object.kind() == "Service" && !headless {
            let ports = object.body.data["spec"]["ports"].as_array().unwrap();
            assert!(ports.iter().all(|port| port["name"] != ports::ADMIN_NAME));
        }
    }
}

#[test]
fn every_call_is_allowed_on_both_ends() {
    let shop = validated(json!({}));
    let allows = |policy: &str, side: &str, peers: &str, service: ServiceName, port: u16| {
        let policy = get(&shop, "NetworkPolicy", policy);
        let rules = policy["spec"][side].as_array().cloned().unwrap_or_default();
        rules.iter().any(|rule| {
            let peer = &rule[peers][0]["podSelector"]["matchExpressions"][0]["values"];
            let named = peer.as_array().is_some_and(|names| names.contains(&json!(service)));
            named && rule["ports"][0]["port"] == port
        })
    };
    for caller in &COMPONENTS {
        let http = caller.http_peers.iter().map(|peer| (*peer, ports::HTTP));
        let grpc = caller.grpc_peers.iter().map(|peer| (*peer, ports::GRPC));
        for (callee, port) in http.chain(grpc) {
            let (from, to) = (format!("demo-{}", caller.name), format!("demo-{callee}"));
            assert!(allows(&from, "egress", "to", callee, port), "{from} may not call {to}");
            assert!(allows(&to, "ingress", "from", caller.name, port), "{to} refuses {from}");
        }
    }
}

#[test]
fn engines_admit_their_users_and_the_operator() {
    let shop = validated(json!({}));
    let sources =
        |engine: &str| get(&shop, "NetworkPolicy", engine)["spec"]["ingress"][0]["from"].clone();
    let users =
        |engine: &str| sources(engine)[0]["podSelector"]["matchExpressions"][0]["values"].clone();
    assert_eq!(users("demo-redis"), json!(["gateway", "user", "catalog", "cart", "order"]));
    assert_eq!(users("demo-mail"), json!(["notification"]));
    assert_eq!(users("demo-objects"), json!(["catalog"]));
    for engine in ["demo-postgres", "demo-kafka"] {
        let operator = &sources(engine)[1]["namespaceSelector"]["matchLabels"];
        assert_eq!(operator["kubernetes.io/metadata.name"], "shop-operator");
    }
    for engine in ["demo-redis", "demo-objects"] {
        assert!(sources(engine).get(1).is_none(), "{engine}");
    }
}

#[test]
fn a_job_that_changes_is_another_job() {
    let name = |spec: Value| {
        let shop = validated(spec);
        let desired = desired(&shop, &hashes(&shop));
        let jobs = desired.stage(Stage::Migrations).iter();
        jobs.map(|job| job.name().to_owned()).find(|n| n.contains("order")).unwrap()
    };
    let first = name(json!({}));
    assert!(first.starts_with("demo-order-migrate-"));
    assert_eq!(first, name(json!({ "host": null })));
    assert_ne!(first, name(json!({ "version": "2.0.0" })));
    assert_ne!(first, name(json!({ "services": [{ "name": "order", "logLevel": "debug" }] })));
}

#[test]
fn a_shop_has_its_topics_and_databases() {
    let shop = validated(json!({}));
    let topics = topics(&shop);
    assert_eq!(topics.topics.len(), 12);
    assert_eq!(topics.topics[0].name, "shops.demo.user.v1");
    assert_eq!(topics.bootstrap_servers, ["demo-kafka.shops.svc.cluster.local:9092"]);
    let databases = databases(&shop);
    assert_eq!(databases.databases.len(), 7);
    assert_eq!(databases.admin.name, "demo-postgres");
    let kinds = credentials(&shop).into_iter().map(|secret| secret.kind);
    assert_eq!(kinds.filter(|k| matches!(k, CredentialKind::Database { .. })).count(), 7);
}

#[test]
fn one_monitor_covers_the_shop() {
    let shop = validated(json!({}));
    let monitor = get(&shop, "ServiceMonitor", "demo-metrics");
    let service = get(&shop, "Service", "demo-metrics");
    let labels = service["metadata"]["labels"].as_object().unwrap();
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(labels.get(key), Some(value));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_order_of_services_in_the_spec_does_not_matter(
        services in Just(ServiceName::ALL.to_vec()).prop_shuffle(),
    ) {
        let listed: Vec<_> = services.iter().map(|name| json!({ "name": name })).collect();
        let listed = objects(&validated(json!({ "services": listed })));
        prop_assert_eq!(listed, objects(&validated(json!({}))));
    }
}
