//! No sequence of failures gives a new version more requests than its step, or leaves the shop without a version that was good.

use operator_core::child::ChildKey;
use operator_core::crd::RolloutState;
use operator_core::names;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::process::Process;
use crate::world::{BROKEN, World, image};
use crate::{external, report, settle};

const WEIGHTS: [i64; 2] = [20, 60];

#[derive(Clone, Copy, Debug)]
enum Step {
    Reconcile,
    Control,
    Wait(u8),
    Restart,
    /// Another version, which starts or does not.
    Image(u8, bool),
    /// New versions answer with errors, or not.
    Failing(bool),
    Promote,
    Abort,
    /// The status is lost.
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Reconcile),
        5 => Just(Step::Control),
        4 => (0..90_u8).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        2 => (2..5_u8, any::<bool>()).prop_map(|(version, starts)| Step::Image(version, starts)),
        1 => any::<bool>().prop_map(Step::Failing),
        1 => Just(Step::Promote),
        1 => Just(Step::Abort),
        1 => Just(Step::Forget),
    ];
    prop::collection::vec(step, 1..80)
}

fn catalog(image: &str) -> Value {
    let steps: Vec<Value> =
        WEIGHTS.iter().map(|weight| json!({ "weight": weight, "pauseSeconds": 30 })).collect();
    let rollout = json!({ "strategy": "Canary", "canary": { "steps": steps, "minRequests": 5 } });
    json!({ "services": [{ "name": "catalog", "image": image, "replicas": 2, "rollout": rollout }] })
}

fn key(resource: &str, name: &str) -> ChildKey {
    ChildKey { resource: resource.into(), name: name.to_owned() }
}

/// Percent of the requests that the gateway gives the new version.
fn weight(world: &World) -> i64 {
    let map = world.objects.all.get(&key("configmaps.", "demo-weights"));
    let text = map.and_then(|map| map.data["data"]["weights.json"].as_str()).unwrap_or("{}");
    let weights: Value = serde_json::from_str(text).unwrap();
    weights["catalog"]["percent"].as_i64().unwrap_or(0)
}

fn stable_image(world: &World) -> String {
    world.objects.all.get(&key("deployments.apps", "demo-catalog")).map(image).unwrap_or_default()
}

#[test]
fn a_version_that_fails_never_takes_over() {
    report("rollouts", 150, &steps(), |steps| {
        let (mut world, mut process) = (World::new(), Process::new(0));
        world.create(external(&catalog("catalog:1")));
        settle(&mut world, &mut process);
        let promoted = |world: &World| {
            let annotations = world.shop.as_ref().and_then(|s| s.metadata.annotations.clone());
            annotations.is_some_and(|all| all.contains_key(names::PROMOTE))
        };
        let mut by_hand = false;
        for step in steps {
            by_hand |= promoted(&world);
            match step {
                Step::Reconcile => {
                    let _ = process.follow(&mut world);
                }
                Step::Control => drop(world.control()),
                Step::Wait(seconds) => world.advance(seconds.into()),
                Step::Restart => process = Process::new(9),
                Step::Image(version, starts) => {
                    by_hand = false;
                    let name = if starts { "catalog" } else { BROKEN };
                    world.patch_spec(&catalog(&format!("{name}:{version}")));
                }
                Step::Failing(failing) => world.canaries_fail = failing,
                Step::Promote => world.annotate(names::PROMOTE, Some("catalog")),
                Step::Abort => world.annotate(names::ABORT, Some("catalog")),
                Step::Forget => world.change_shop(|shop| shop.status = None),
            }
            prop_assert!(!stable_image(&world).contains(BROKEN) || by_hand, "{:?}", step);
            let share = weight(&world);
            prop_assert!(share == 0 || WEIGHTS.contains(&share), "{share}");
            let status = world.shop.as_ref().and_then(|shop| shop.status.as_ref());
            let has_failed = status.is_some_and(|status| {
                status.rollouts.iter().any(|rollout| rollout.state == RolloutState::Failed)
            });
            if has_failed && share > 0 {
                // The weight goes with the next write.
                let _ = process.follow(&mut world);
                prop_assert_eq!(weight(&world), 0);
            }
        }
        world.annotate(names::PROMOTE, None);
        world.annotate(names::ABORT, None);
        world.canaries_fail = false;
        world.patch_spec(&catalog("catalog:9"));
        settle(&mut world, &mut process);
        prop_assert_eq!(stable_image(&world), "catalog:9");
        prop_assert_eq!(weight(&world), 0);
        Ok(())
    });
}
