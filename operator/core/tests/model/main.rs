//! A model of the cluster: objects, controllers, servers, and other people's hands. On it the operator's own decisions run, thousands of
//! passes in a second.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cases;
mod objects;
mod process;
mod properties;
mod servers;
#[path = "../pure/support.rs"]
#[expect(dead_code, reason = "most of it is for the pure tests")]
mod support;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use proptest::prelude::{ProptestConfig, Strategy};
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};

use process::{PASSES, Process};
use servers::Database;
use world::World;

/// Rounds after which a Shop that does not settle never will.
const MAX_ROUNDS: usize = 200;

/// A spec with external engines, and this on top.
fn external(more: &Value) -> Value {
    let mut spec = json!({
        "database": { "external": {
            "host": world::DATABASE, "sslMode": "disable", "adminSecretRef": { "name": "postgres-admin" },
        } },
        "cache": { "external": { "secretRef": { "name": "redis" } } },
        "events": { "external": { "bootstrapServers": [world::BROKERS] } },
        "objectStore": { "external": {
            "endpoint": "http://objects.example.com:9000", "bucket": "b", "secretRef": { "name": "objects" },
        } },
        "topics": { "partitions": 1, "replicationFactor": 1 },
    });
    objects::merge(&mut spec, more);
    spec
}

/// Lets the operator and the cluster work until neither has anything to do.
fn settle(world: &mut World, process: &mut Process) {
    let mut idle = 0;
    for _ in 0..MAX_ROUNDS {
        let before = process.writes;
        let Ok(requeue) = process.follow(world) else { panic!("it has no budget") };
        let moved = world.control();
        idle = if process.writes == before && !moved { idle + 1 } else { 0 };
        let rests = requeue >= operator_core::plan::POD_POLL;
        // What needs help is tried again and again.
        if idle > 0 && rests || idle > 5 && process.is_hindered {
            return;
        }
        world.advance(i64::try_from(requeue.as_secs()).unwrap().clamp(2, 30));
    }
    panic!("it never settles: {:#?}", process.plan(world).map(|plan| (plan.actions, plan.status)));
}

/// A shop with this spec that has settled, and the process that did it.
fn settled(spec: Value) -> (World, Process) {
    let (mut world, mut process) = (World::new(), Process::new(0));
    world.create(spec);
    settle(&mut world, &mut process);
    (world, process)
}

/// Status, reason and message of a condition.
fn condition(world: &World, type_: &str) -> String {
    let status = world.shop.as_ref().and_then(|shop| shop.status.as_ref()).unwrap();
    let condition = status.conditions.iter().find(|condition| condition.type_ == type_).unwrap();
    format!("{} {}: {}", condition.status, condition.reason, condition.message)
}

/// What has to be the same in two worlds: everything but identity, time and what is random.
fn state(world: &World) -> BTreeMap<String, Value> {
    let mut state = BTreeMap::new();
    for (key, object) in &world.objects.all {
        let mut value = serde_json::to_value(object).unwrap();
        for path in ["/data", "/status/conditions"] {
            if &*key.resource != "configmaps."
                && let Some(value) = value.pointer_mut(path)
            {
                *value = Value::Null;
            }
        }
        let metadata = value["metadata"].as_object_mut().unwrap();
        for field in ["uid", "resourceVersion", "managedFields", "generation"] {
            metadata.remove(field);
        }
        if let Some(status) = value["status"].as_object_mut() {
            status.remove("observedGeneration");
        }
        let annotations = "/spec/template/metadata/annotations";
        if let Some(annotations) = value.pointer_mut(annotations) {
            *annotations = Value::Null;
        }
        state.insert(format!("{}/{}", key.resource, key.name), without_uids(value));
    }
    for (name, database) in world.postgres.values().flat_map(|server| &server.databases) {
        // What was migrated on the way may differ.
        let last = Database { migrated: BTreeSet::new(), ..database.clone() };
        state.insert(format!("database {name}"), json!(format!("{last:?}")));
    }
    for (name, topic) in world.kafka.values().flat_map(|kafka| &kafka.topics) {
        state.insert(format!("topic {name}"), json!(format!("{topic:?}")));
    }
    state
}

fn without_uids(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(key, _)| key != "uid" && key != operator_core::names::SHOP_UID)
            .map(|(key, value)| (key, without_uids(value)))
            .collect(),
        Value::Array(list) => list.into_iter().map(without_uids).collect(),
        other => other,
    }
}

/// Checks a property on random cases, and prints how many passes it took.
fn report<S: Strategy>(
    name: &str,
    cases: u32,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let before = PASSES.load(Ordering::Relaxed);
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(strategy, property);
    let passes = PASSES.load(Ordering::Relaxed) - before;
    println!("{name}: {cases} cases, {passes} passes of all tests that ran meanwhile");
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
}
