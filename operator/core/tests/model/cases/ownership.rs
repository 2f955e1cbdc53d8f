//! Names that are taken.

use operator_core::child::ChildKey;
use serde_json::json;

use crate::process::Process;
use crate::world::World;
use crate::{condition, external, settle};

#[test]
fn a_secret_of_somebody_else_is_reported_and_nothing_is_built_on_it() {
    let (mut world, mut process) = (World::new(), Process::new(0));
    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "demo-admin", "namespace": "shops", "uid": "theirs", "resourceVersion": "1" },
    });
    let key = ChildKey::secret("demo-admin");
    world.objects.all.insert(key.clone(), serde_json::from_value(theirs).unwrap());
    world.create(external(&json!({})));
    settle(&mut world, &mut process);
    for type_ in ["Ready", "UpToDate"] {
        let found = condition(&world, type_);
        assert!(found.starts_with("False NameTaken"), "{found}");
    }
    let is_workload = |key: &&ChildKey| &*key.resource == "deployments.apps";
    assert_eq!(world.objects.all.keys().find(is_workload), None);
    world.objects.all.remove(&key);
    settle(&mut world, &mut process);
    assert!(condition(&world, "UpToDate").starts_with("True"));
}
