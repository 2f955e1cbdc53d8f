//! No sequence of edits, pauses, restarts and deletions loses data while the spec of the deleted Shop says Retain.

use std::collections::BTreeMap;

use operator_core::names;
use proptest::prelude::*;
use serde_json::json;

use crate::process::Process;
use crate::world::{DATABASE, World};
use crate::{external, report, settle};

#[derive(Clone, Copy, Debug)]
enum Step {
    Reconcile,
    Control,
    Wait(u8),
    Restart,
    Policy(bool),
    Pause(bool),
    Version(u8),
    /// The credentials of the database are gone, or back.
    Credentials(bool),
    Sell,
    Delete,
    Create(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Reconcile),
        4 => Just(Step::Control),
        2 => (0..60_u8).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        2 => any::<bool>().prop_map(Step::Policy),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => (1..4_u8).prop_map(Step::Version),
        1 => any::<bool>().prop_map(Step::Credentials),
        2 => Just(Step::Sell),
        1 => Just(Step::Delete),
        2 => any::<bool>().prop_map(Step::Create),
    ];
    prop::collection::vec(step, 1..80)
}

fn policy(delete: bool) -> serde_json::Value {
    json!({ "deletionPolicy": if delete { "Delete" } else { "Retain" } })
}

/// What was sold, by database, and how many topics, volumes and Secrets hold it.
fn data(world: &World) -> (BTreeMap<String, u64>, usize, usize) {
    let databases = world.postgres[DATABASE].databases.iter();
    let orders = databases.map(|(name, database)| (name.clone(), database.orders)).collect();
    let topics = world.kafka.values().map(|kafka| kafka.topics.len()).sum();
    let holds = |resource: &str| matches!(resource, "persistentvolumeclaims." | "secrets.");
    let objects = world.objects.all.keys().filter(|key| holds(&key.resource)).count();
    (orders, topics, objects)
}

/// Whether everything of `before` is still there.
fn is_kept(before: &World, after: &World) -> bool {
    let ((orders, topics, objects), (now, topics_now, objects_now)) = (data(before), data(after));
    topics <= topics_now
        && objects <= objects_now
        && orders.iter().all(|(name, count)| now.get(name).is_some_and(|now| now >= count))
}

#[test]
fn retain_loses_nothing() {
    report("retain", 150, &steps(), |steps| {
        let (mut world, mut process) = (World::new(), Process::new(0));
        let bundled = json!({ "objectStore": { "external": null, "bundled": {} } });
        let mut spec = external(&bundled);
        spec["deletionPolicy"] = json!("Retain");
        world.create(spec.clone());
        for step in steps {
            let before = world.clone();
            let retains = world.shop.as_ref().is_none_or(|shop| {
                shop.spec.deletion_policy == operator_core::crd::DeletionPolicy::Retain
                    || shop.metadata.deletion_timestamp.is_none()
            });
            match step {
                Step::Reconcile => {
                    let _ = process.follow(&mut world);
                }
                Step::Control => drop(world.control()),
                Step::Wait(seconds) => world.advance(seconds.into()),
                Step::Restart => process = Process::new(9),
                Step::Policy(delete) => world.patch_spec(&policy(delete)),
                Step::Pause(pause) => world.annotate(names::PAUSED, pause.then_some("true")),
                Step::Version(version) => {
                    world.patch_spec(&json!({ "version": format!("{version}.0.0") }));
                }
                Step::Credentials(there) => {
                    let new = World::new().references.remove("postgres-admin").unwrap();
                    if there {
                        world.references.insert("postgres-admin".to_owned(), new);
                    } else {
                        world.references.remove("postgres-admin");
                    }
                }
                Step::Sell => world.sell(),
                Step::Delete => world.delete_shop(),
                Step::Create(delete) => {
                    if world.shop.is_none() {
                        let mut spec = spec.clone();
                        crate::objects::merge(&mut spec, &policy(delete));
                        world.create(spec);
                    }
                }
            }
            if retains {
                prop_assert!(
                    is_kept(&before, &world),
                    "{:?}: {:?} {:?}",
                    step,
                    data(&before),
                    data(&world)
                );
            }
        }
        // Whatever happened, a Shop of this name sells again.
        world.references = World::new().references;
        settle(&mut world, &mut process);
        if world.shop.is_none() {
            world.create(spec);
        }
        world.annotate(names::PAUSED, None);
        settle(&mut world, &mut process);
        Ok(())
    });
}
