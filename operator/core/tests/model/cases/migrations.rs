//! Migrations that fail.

use serde_json::json;

use crate::world::DATABASE;
use crate::{condition, external, settle, settled};

#[test]
fn a_failed_migration_is_repeated_after_ten_minutes() {
    let (mut world, mut process) = settled(external(&json!({})));
    world.patch_spec(&json!({ "version": "2.0.0" }));
    process.reconcile(&mut world).unwrap();
    world.down.insert(DATABASE.to_owned());
    assert!(world.control(), "Jobs run");
    world.down.clear();
    settle(&mut world, &mut process);
    let failed = condition(&world, "MigrationsApplied");
    assert!(failed.starts_with("False MigrationFailed"), "{failed}");
    assert!(condition(&world, "Degraded").starts_with("True MigrationFailed"));
    world.advance(601);
    settle(&mut world, &mut process);
    assert!(condition(&world, "MigrationsApplied").starts_with("True"));
    assert!(condition(&world, "Degraded").starts_with("False"));
    let databases = world.postgres[DATABASE].databases.values();
    let images: Vec<_> = databases.filter_map(|database| database.schema.as_ref()).collect();
    assert!(images.iter().all(|image| image.ends_with(":2.0.0")), "{images:?}");
}
