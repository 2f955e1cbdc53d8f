//! Whatever a process misses or sees late, and whatever other hands do, the Shop converges, and nothing of another owner, of a predecessor
//! under Retain, or of data is deleted.

use std::collections::{BTreeMap, BTreeSet};

use operator_core::child::ChildKey;
use operator_core::facts::{Comment, TopicState};
use operator_core::names;
use proptest::prelude::*;
use serde_json::json;

use crate::process::Process;
use crate::servers::Database;
use crate::world::{BROKERS, DATABASE, World};
use crate::{external, report, settle, state};

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The watches bring everything but what falls under this mask.
    Watch(u8),
    Reconcile,
    /// A process that knows what another knew some time ago.
    Restart(bool),
    Control,
    Wait(u8),
    /// Another version.
    Version(u8),
    /// An optional service comes or goes.
    Review(bool),
    /// Somebody changes or deletes an object.
    Edit(u8),
    Remove(u8),
    /// The Shop is deleted and created again.
    Recreate,
    /// A server is away, or back.
    Down(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any::<u8>().prop_map(Step::Watch),
        6 => Just(Step::Reconcile),
        1 => any::<bool>().prop_map(Step::Restart),
        4 => Just(Step::Control),
        2 => (0..60_u8).prop_map(Step::Wait),
        1 => (1..4_u8).prop_map(Step::Version),
        1 => any::<bool>().prop_map(Step::Review),
        1 => any::<u8>().prop_map(Step::Edit),
        1 => any::<u8>().prop_map(Step::Remove),
        1 => Just(Step::Recreate),
        1 => any::<bool>().prop_map(Step::Down),
    ];
    prop::collection::vec(step, 1..60)
}

/// What is not the Shop's.
fn add_foreign(world: &mut World) {
    let theirs = Database {
        owner: "theirs".to_owned(),
        comment: Comment::None,
        public: true,
        schema: Some("theirs".to_owned()),
        migrated: BTreeSet::new(),
        orders: 7,
    };
    let server = world.postgres.get_mut(DATABASE).unwrap();
    server.databases.insert("theirs".to_owned(), theirs);
    server.roles.insert("theirs".to_owned(), "p".to_owned());
    let topics = &mut world.kafka.get_mut(BROKERS).unwrap().topics;
    topics.insert("theirs".to_owned(), TopicState::default());
    for (name, labelled) in [("theirs", false), ("demo-stray", true)] {
        let labels = if labelled {
            names::object_labels("demo", operator_core::role::Role::Shop)
        } else {
            BTreeMap::default()
        };
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": "shops", "labels": labels, "uid": name, "resourceVersion": "1" },
            "data": { "theirs": "1" },
        });
        let key = ChildKey { resource: "configmaps.".into(), name: name.to_owned() };
        world.objects.all.insert(key, serde_json::from_value(object).unwrap());
    }
}

fn foreign(world: &World) -> Vec<String> {
    let objects = ["theirs", "demo-stray"].map(|name| {
        let key = ChildKey { resource: "configmaps.".into(), name: name.to_owned() };
        format!("{:?}", world.objects.all.get(&key))
    });
    let database = format!("{:?}", world.postgres[DATABASE].databases.get("theirs"));
    let topic = format!("{:?}", world.kafka[BROKERS].topics.get("theirs"));
    objects.into_iter().chain([database, topic]).collect()
}

fn nth(world: &World, number: u8) -> Option<ChildKey> {
    let own = world.objects.all.keys().filter(|key| {
        // Volumes, Secrets and records hold data: who deletes them deletes data.
        key.name.starts_with("demo-")
            && key.name != "demo-stray"
            && !matches!(&*key.resource, "secrets." | "persistentvolumeclaims.")
            && key.name != "demo-topics"
    });
    let own: Vec<_> = own.collect();
    (!own.is_empty()).then(|| own[usize::from(number) % own.len()].clone())
}

fn take(world: &mut World, process: &mut Process, step: Step) {
    match step {
        Step::Watch(mask) => {
            process.watch(world, |key| {
                mask != 0 && key.name.bytes().fold(mask, u8::wrapping_add) % 4 == 0
            });
        }
        Step::Reconcile => drop(process.reconcile(world)),
        Step::Restart(full) => {
            *process = Process::new(9);
            process.watch(world, |_| !full);
        }
        Step::Control => drop(world.control()),
        Step::Wait(seconds) => world.advance(seconds.into()),
        Step::Version(version) => {
            world.patch_spec(&json!({ "version": format!("{version}.0.0") }));
        }
        Step::Review(enabled) => {
            let services = json!([{ "name": "review", "enabled": enabled }]);
            world.patch_spec(&json!({ "services": services }));
        }
        Step::Edit(number) => {
            if let Some(key) = nth(world, number) {
                let patch = json!({ "metadata": { "labels": { names::PART_OF_LABEL: "theirs" } } });
                world.objects.edit(&key, &patch);
            }
        }
        Step::Remove(number) => {
            if let Some(key) = nth(world, number) {
                world.objects.all.remove(&key);
            }
        }
        Step::Recreate => {
            let Some(shop) = world.shop.clone() else { return };
            world.delete_shop();
            if world.shop.is_none() {
                world.create(serde_json::to_value(&shop.spec).unwrap());
            }
        }
        Step::Down(down) => {
            if down {
                world.down.insert(DATABASE.to_owned());
            } else {
                world.down.remove(DATABASE);
            }
        }
    }
}

#[test]
fn a_shop_converges_whatever_is_missed() {
    report("stale and lost", 120, &steps(), |steps| {
        let (mut world, mut process) = (World::new(), Process::new(0));
        add_foreign(&mut world);
        let theirs = foreign(&world);
        world.create(external(&json!({})));
        for step in steps {
            take(&mut world, &mut process, step);
            prop_assert_eq!(&foreign(&world), &theirs);
        }
        world.down.clear();
        settle(&mut world, &mut process);
        // A migration that failed is repeated.
        world.advance(700);
        settle(&mut world, &mut process);
        if world.shop.is_none() {
            world.create(external(&json!({})));
        }
        world.control();
        settle(&mut world, &mut process);
        world.sell();
        prop_assert_eq!(&foreign(&world), &theirs);

        // The end is that of a Shop that was created so.
        let mut straight = World::new();
        add_foreign(&mut straight);
        let spec = serde_json::to_value(&world.shop.as_ref().unwrap().spec).unwrap();
        straight.create(spec);
        settle(&mut straight, &mut Process::new(3));
        straight.sell();
        let (found, expected) = (state(&world), state(&straight));
        for (key, value) in &expected {
            if !key.starts_with("database ") {
                prop_assert_eq!(found.get(key), Some(value), "{}", key);
            }
        }
        let left: Vec<_> = found.keys().filter(|key| !expected.contains_key(*key)).collect();
        // The database of a service that is disabled is kept.
        let left: Vec<_> = left.into_iter().filter(|key| !key.contains("review")).collect();
        prop_assert!(left.is_empty(), "{:?}", left);
        Ok(())
    });
}
