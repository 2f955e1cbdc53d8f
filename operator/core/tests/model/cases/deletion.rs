//! The spec at the deletion decides, whatever was reconciled before.

use operator_core::names;
use serde_json::json;

use crate::process::Process;
use crate::world::{BROKERS, DATABASE, World};
use crate::{external, settle, settled};

fn counts(world: &World) -> (usize, usize) {
    (world.postgres[DATABASE].databases.len(), world.kafka[BROKERS].topics.len())
}

/// What is left of a shop that was created under `Delete` and changed to `Retain` while nothing could be reconciled.
fn left_after(hinder: impl Fn(&mut World, &mut Process)) -> ((usize, usize), World) {
    let (mut world, mut process) = settled(external(&json!({ "deletionPolicy": "Delete" })));
    let before = counts(&world);
    assert!(before.0 > 5 && before.1 > 5, "{before:?}");
    hinder(&mut world, &mut process);
    world.patch_spec(&json!({ "deletionPolicy": "Retain" }));
    settle(&mut world, &mut process);
    world.delete_shop();
    settle(&mut world, &mut process);
    assert!(world.shop.is_none());
    (before, world)
}

#[test]
fn a_policy_that_changed_during_a_pause_decides() {
    let (before, world) = left_after(|world, _| world.annotate(names::PAUSED, Some("true")));
    assert_eq!(counts(&world), before);
}

#[test]
fn a_policy_that_changed_while_a_secret_was_missing_decides() {
    let (before, world) = left_after(|world, _| drop(world.references.remove("redis")));
    assert_eq!(counts(&world), before);
}

#[test]
fn under_delete_nothing_is_left() {
    let (mut world, mut process) = settled(external(&json!({ "deletionPolicy": "Delete" })));
    world.delete_shop();
    settle(&mut world, &mut process);
    assert_eq!(counts(&world), (0, 0));
    assert!(world.postgres[DATABASE].roles.is_empty());
    world.control();
    let left: Vec<_> = world.objects.all.keys().collect();
    assert!(left.is_empty(), "{left:?}");
}
