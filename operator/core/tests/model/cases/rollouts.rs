//! Versions that answer with errors.

use operator_core::child::ChildKey;
use serde_json::{Value, json};

use crate::world::image;
use crate::{condition, external, settle, settled};

fn catalog(image: &str) -> Value {
    let steps = json!([{ "weight": 20, "pauseSeconds": 30 }, { "weight": 60, "pauseSeconds": 30 }]);
    let rollout = json!({ "strategy": "Canary", "canary": { "steps": steps, "minRequests": 5 } });
    json!({ "services": [{ "name": "catalog", "image": image, "rollout": rollout }] })
}

#[test]
fn a_version_that_answers_with_errors_is_taken_back_and_a_good_one_takes_over() {
    let (mut world, mut process) = settled(external(&catalog("catalog:1")));
    let key = ChildKey { resource: "deployments.apps".into(), name: "demo-catalog".to_owned() };
    world.canaries_fail = true;
    world.patch_spec(&catalog("catalog:2"));
    settle(&mut world, &mut process);
    assert_eq!(image(&world.objects.all[&key]), "catalog:1");
    assert_eq!(condition(&world, "Ready"), "True Available: a shopper can buy");
    for type_ in ["RolloutsSettled", "UpToDate"] {
        assert!(condition(&world, type_).starts_with("False RolloutFailed"));
    }
    world.canaries_fail = false;
    world.patch_spec(&catalog("catalog:3"));
    settle(&mut world, &mut process);
    assert_eq!(image(&world.objects.all[&key]), "catalog:3");
    assert!(condition(&world, "UpToDate").starts_with("True"));
}
