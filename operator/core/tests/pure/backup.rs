//! Backups, and a new shop from one.

use contracts::env;
use operator_core::crd::{BackupStatus, Restored, Shop, ShopStatus};
use operator_core::names;
use operator_core::role::{EngineKind, Role};
use operator_core::validate::{ValidatedShop, validate};
use serde_json::{Value, json};

use crate::build::{get, objects, templates};
use crate::support::{config, judged, observed, shop, validated};

const NAME: &str = "20261128T033000Z-1f3a";

fn resolved(shop: &Shop) -> ValidatedShop {
    validate(shop, &observed(&[]), &config()).expect("the Shop is valid")
}

/// A shop that is asked for a backup now, and what its status says.
fn asked(value: &str, answered: Option<&str>) -> ValidatedShop {
    let mut shop = shop(json!({ "backup": {} }));
    let annotations = shop.metadata.annotations.get_or_insert_default();
    annotations.insert(names::BACKUP_REQUEST.into(), value.into());
    let backup = BackupStatus { requested: answered.map(str::to_owned), ..BackupStatus::default() };
    shop.status = Some(ShopStatus { backup: Some(backup), ..ShopStatus::default() });
    resolved(&shop)
}

fn jobs(shop: &ValidatedShop) -> Vec<String> {
    let objects = objects(shop);
    let jobs = objects.iter().filter(|object| object.kind() == "Job");
    let names = jobs.map(|object| object.name().to_owned());
    names.filter(|name| !name.contains("-migrate-")).collect()
}

fn variable(template: &Value, name: &str) -> Value {
    let variables = template["spec"]["containers"][0]["env"].as_array().expect("it has variables");
    variables.iter().find(|variable| variable["name"] == name).cloned().unwrap_or(Value::Null)
}

fn template(shop: &ValidatedShop, owner: &str) -> Value {
    let templates = templates(&objects(shop));
    let found = templates.into_iter().find(|(name, _)| name.starts_with(owner));
    found.unwrap_or_else(|| panic!("there is no {owner}")).1
}

#[test]
fn a_shop_without_backups_has_nothing_of_them() {
    let mut unasked = shop(json!({}));
    let annotations = unasked.metadata.annotations.get_or_insert_default();
    annotations.insert(names::BACKUP_REQUEST.into(), "now".into());
    let objects = objects(&resolved(&unasked));
    let text = serde_json::to_string(&objects.iter().map(|o| &o.body).collect::<Vec<_>>()).unwrap();
    assert!(!text.to_lowercase().contains("backup") && !text.contains("restore"), "{text}");
}

#[test]
fn every_service_dumps_its_own_database_with_its_own_login() {
    let shop = validated(json!({ "backup": { "keep": 3, "schedule": "0 4 * * 0" } }));
    let schedule = get(&shop, "CronJob", "demo-backup");
    assert_eq!(schedule["spec"]["schedule"], "0 4 * * 0");
    assert_eq!(schedule["spec"]["concurrencyPolicy"], "Forbid");
    let labels = &schedule["spec"]["jobTemplate"]["metadata"]["labels"];
    assert_eq!(
        *labels,
        json!(names::object_labels("demo", Role::Backup)),
        "the operator sees its Jobs"
    );
    let template = template(&shop, "CronJob demo-backup");
    assert_eq!(variable(&template, env::BACKUP_KEEP)["value"], "3");
    let services = variable(&template, env::BACKUP_SERVICES)["value"].as_str().unwrap().to_owned();
    assert_eq!(services, "user,catalog,order,payment,inventory,review,notification");
    for service in services.split(',') {
        let from = &variable(&template, &env::database_url(service))["valueFrom"]["secretKeyRef"];
        assert_eq!(*from, json!({ "name": format!("demo-{service}-database"), "key": "url" }));
    }
    let pod = &template["spec"];
    assert_eq!(pod["containers"][0]["image"], config().engine_images.postgres);
    assert_eq!(pod["initContainers"][0]["image"], "localhost/shop-operator/backup:1.0.0");
    let other = validated(json!({ "backup": { "toolsImage": "postgres:18" } }));
    let pod = self::template(&other, "CronJob demo-backup");
    assert_eq!(pod["spec"]["containers"][0]["image"], "postgres:18");
}

#[test]
fn each_value_of_the_annotation_asks_once() {
    let first = jobs(&asked("monday", None));
    assert_eq!(first.len(), 1);
    assert!(first[0].starts_with("demo-backup-now-"), "{first:?}");
    assert_eq!(jobs(&asked("monday", Some("sunday"))), first);
    assert_ne!(jobs(&asked("tuesday", Some("monday"))), first);
    for (value, answered) in [("monday", Some("monday")), ("", None)] {
        assert!(jobs(&asked(value, answered)).is_empty(), "{value}");
    }
    // A text of any length is told from itself.
    let (long, kept) = ("a".repeat(500), "a".repeat(63));
    assert!(jobs(&asked(&long, Some(&kept))).is_empty());
}

/// Whether a policy lets traffic pass between a component's pods and these, on a port.
fn allows(policy: &Value, side: &str, labels: &Value, port: u16) -> bool {
    let peers = if side == "ingress" { "from" } else { "to" };
    let rules = policy["spec"][side].as_array().cloned().unwrap_or_default();
    rules.iter().any(|rule| {
        let peers = rule[peers].as_array().cloned().unwrap_or_default();
        peers.iter().any(|peer| peer["podSelector"]["matchLabels"] == *labels)
            && rule["ports"]
                .as_array()
                .expect("ports are a list")
                .iter()
                .any(|open| open["port"] == port)
    })
}

#[test]
fn backups_reach_the_database_and_the_object_store_and_nothing_else() {
    let shop = validated(json!({ "backup": {} }));
    let of = |role: Role| json!(names::selector("demo", role));
    let policy = get(&shop, "NetworkPolicy", "demo-backup");
    assert_eq!(policy["spec"]["egress"].as_array().unwrap().len(), 2, "{policy}");
    assert_eq!(policy["spec"]["ingress"], Value::Null);
    for (engine, port) in [(EngineKind::Postgres, 5432), (EngineKind::Objects, 9000)] {
        assert!(allows(&policy, "egress", &of(engine.into()), port), "{engine}");
        let engine = get(&shop, "NetworkPolicy", &format!("demo-{engine}"));
        assert!(allows(&engine, "ingress", &of(Role::Backup), port), "{engine}");
        let without = get(
            &validated(json!({})),
            "NetworkPolicy",
            engine["metadata"]["name"].as_str().unwrap(),
        );
        assert!(!allows(&without, "ingress", &of(Role::Backup), port), "{without}");
    }
    for engine in ["redis", "kafka"] {
        let engine = get(&shop, "NetworkPolicy", &format!("demo-{engine}"));
        assert!(!engine.to_string().contains("backup"), "{engine}");
    }
}

#[test]
fn a_new_shop_is_filled_once_from_the_store_of_the_other() {
    let from = json!({ "restoreFrom": { "backup": NAME, "shop": "first" } });
    let new = validated(from.clone());
    assert_eq!(jobs(&new).len(), 1);
    let job = template(&new, "Job demo-restore-");
    assert_eq!(variable(&job, env::BACKUP_NAME)["value"], NAME);
    let url = "http://first-objects.shops.svc.cluster.local:9000";
    assert_eq!(variable(&job, env::OBJECT_STORE_URL)["value"], url);
    let key = &variable(&job, env::OBJECT_STORE_SECRET_KEY)["valueFrom"]["secretKeyRef"]["name"];
    assert_eq!(*key, "first-objects");
    assert_eq!(job["metadata"]["labels"][names::RESTORES_FROM], "first");
    let database =
        &variable(&job, &env::database_url("order"))["valueFrom"]["secretKeyRef"]["name"];
    assert_eq!(*database, "demo-order-database", "its own databases are filled");

    let policy = get(&new, "NetworkPolicy", "demo-restore");
    let store = json!(names::selector("first", EngineKind::Objects));
    assert!(allows(&policy, "egress", &store, 9000), "{policy}");
    // The other shop lets it in, as long as it makes backups.
    let reader = json!({ "app.kubernetes.io/name": "shop", names::RESTORES_FROM: "demo" });
    for (spec, expected) in [(json!({ "backup": {} }), true), (json!({}), false)] {
        let store = get(&validated(spec), "NetworkPolicy", "demo-objects");
        assert_eq!(allows(&store, "ingress", &reader, 9000), expected);
    }

    let mut done = shop(from);
    let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
    let restored = Restored { backup: NAME.into(), shop: "shops/first".into(), time };
    done.status = Some(ShopStatus { restored: Some(restored), ..ShopStatus::default() });
    let objects = objects(&resolved(&done));
    assert!(objects.iter().all(|object| !object.name().contains("restore")));
}

#[test]
fn another_namespace_gives_nothing_from_a_bundled_store() {
    let spec = json!({ "restoreFrom": { "backup": NAME, "shop": "first", "namespace": "others" } });
    assert_eq!(judged(spec).unwrap_err()[0].path, "spec.restoreFrom.namespace");
    let own = json!({ "restoreFrom": { "backup": NAME, "shop": "first", "namespace": "shops" } });
    assert!(judged(own).is_ok());
    let errors = judged(json!({ "backup": { "schedule": "0 25 * * *" } })).unwrap_err();
    assert_eq!(errors[0].path, "spec.backup.schedule");
}
