//! Databases that vanish.

use operator_core::child::ChildKey;
use operator_core::names;
use serde_json::{Value, json};

use crate::process::Process;
use crate::world::{DATABASE, World};
use crate::{condition, external, settle, settled};

fn lose_and_settle(spec: Value, lose: impl Fn(&mut World)) {
    let (mut world, mut process) = settled(spec);
    assert!(condition(&world, "DataLost").starts_with("False"));
    lose(&mut world);
    world.advance(600);
    settle(&mut world, &mut process);
    let report = condition(&world, "DataLost");
    assert!(report.starts_with("True DataLost"), "{report}");
    assert!(report.contains(names::ACKNOWLEDGE_DATA_LOSS), "{report}");
    assert_eq!(condition(&world, "Ready"), "True Available: a shopper can buy");
    let databases = world.postgres.values().flat_map(|server| server.databases.values());
    let without: Vec<_> = databases.filter(|database| database.schema.is_none()).collect();
    assert!(without.is_empty(), "{without:?}");
    world.annotate(names::ACKNOWLEDGE_DATA_LOSS, Some("true"));
    settle(&mut world, &mut process);
    assert!(condition(&world, "DataLost").starts_with("False"));
    let degraded = condition(&world, "Degraded");
    assert!(degraded.starts_with("False"), "{degraded}");
}

#[test]
fn databases_that_vanished_are_migrated_again_and_reported() {
    lose_and_settle(external(&json!({})), |world| {
        let server = world.postgres.get_mut(DATABASE).unwrap();
        server.databases.clear();
        server.roles.clear();
    });
}

#[test]
fn a_volume_that_vanished_is_reported() {
    lose_and_settle(json!({}), |world| {
        let claim = ChildKey {
            resource: "persistentvolumeclaims.".into(),
            name: "demo-postgres-data".to_owned(),
        };
        assert!(world.objects.all.remove(&claim).is_some());
        world.postgres.clear();
    });
}

#[test]
fn a_migration_of_a_database_that_was_lost_since_does_not_count() {
    let (mut world, mut process) = (World::new(), Process::new(0));
    world.create(external(&json!({})));
    process.reconcile(&mut world).unwrap();
    assert!(world.control(), "Jobs complete");
    world.postgres.get_mut(DATABASE).unwrap().databases.clear();
    settle(&mut world, &mut process);
    let databases = &world.postgres[DATABASE].databases;
    assert!(databases.len() > 5 && databases.values().all(|database| database.schema.is_some()));
    assert_eq!(condition(&world, "Ready"), "True Available: a shopper can buy");
}
