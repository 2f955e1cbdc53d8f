//! `Ready` says whether a shopper can buy now, `UpToDate` whether what runs is what the spec asks for.

use serde_json::json;

use crate::process::Process;
use crate::world::{BROKEN, DATABASE, World};
use crate::{condition, external, settle, settled};

const READY: &str = "True Available: a shopper can buy";
const UP_TO_DATE: &str = "True UpToDate: what runs is what the spec asks for";

fn up_to_date() -> (World, Process) {
    let (world, process) = settled(external(&json!({})));
    assert_eq!(condition(&world, "Ready"), READY);
    assert_eq!(condition(&world, "UpToDate"), UP_TO_DATE);
    (world, process)
}

#[test]
fn a_new_shop_is_not_ready_before_its_pods_are() {
    let (mut world, mut process) = (World::new(), Process::new(0));
    world.create(external(&json!({})));
    process.follow(&mut world).unwrap();
    assert!(condition(&world, "Ready").starts_with("False"));
    assert!(condition(&world, "UpToDate").starts_with("False"));
}

#[test]
fn old_pods_sell_while_new_ones_start() {
    let (mut world, mut process) = up_to_date();
    world.patch_spec(&json!({ "version": "2.0.0" }));
    process.follow(&mut world).unwrap();
    assert_eq!(condition(&world, "Ready"), READY);
    assert!(condition(&world, "UpToDate").starts_with("False MigrationsRunning"));
    settle(&mut world, &mut process);
    assert_eq!(condition(&world, "UpToDate"), UP_TO_DATE);
}

#[test]
fn a_version_that_does_not_start_leaves_a_shop_ready() {
    let (mut world, mut process) = up_to_date();
    // The gateway has no database, hence no migration that fails first.
    for (service, reason) in [("catalog", "MigrationFailed"), ("gateway", "RolloutStuck")] {
        let image = format!("{BROKEN}:2");
        world.patch_spec(&json!({ "services": [{ "name": service, "image": image }] }));
        settle(&mut world, &mut process);
        assert_eq!(condition(&world, "Ready"), READY);
        for (type_, status) in [("UpToDate", "False"), ("Degraded", "True")] {
            let found = condition(&world, type_);
            assert!(found.starts_with(&format!("{status} {reason}")), "{found}");
        }
        world.patch_spec(&json!({ "services": [] }));
        settle(&mut world, &mut process);
        assert_eq!(condition(&world, "UpToDate"), UP_TO_DATE);
        assert!(condition(&world, "Degraded").starts_with("False"));
    }
}

#[test]
fn what_is_missing_leaves_a_shop_ready_while_its_pods_sell() {
    let (mut world, mut process) = up_to_date();
    let secret = world.references.remove("redis").unwrap();
    process.follow(&mut world).unwrap();
    assert_eq!(condition(&world, "Ready"), READY);
    assert!(condition(&world, "UpToDate").starts_with("False SecretMissing"));
    assert!(condition(&world, "Degraded").starts_with("True SecretMissing"));
    world.references.insert("redis".to_owned(), secret);
    settle(&mut world, &mut process);
    assert_eq!(condition(&world, "UpToDate"), UP_TO_DATE);
}

#[test]
fn a_shop_whose_databases_are_empty_is_not_ready_though_its_pods_are() {
    let (mut world, mut process) = up_to_date();
    world.postgres.get_mut(DATABASE).unwrap().databases.clear();
    world.advance(600);
    process.follow(&mut world).unwrap();
    assert!(condition(&world, "Ready").starts_with("False"), "{}", condition(&world, "Ready"));
    settle(&mut world, &mut process);
    assert_eq!(condition(&world, "Ready"), READY);
}
