//! What keeps pods from working, or from being made.

use operator_core::child::ChildKey;
use operator_core::crd::ServiceName;
use operator_core::pods::PodProblem;
use operator_core::role::{Duty, EngineKind, Role};
use operator_core::status::Reason;
use serde_json::json;

use crate::process::Process;
use crate::world::World;
use crate::{condition, settle, settled};

#[test]
fn what_keeps_pods_from_working_is_said_and_goes_with_its_cause() {
    let order = |duty| Role::Service(ServiceName::Order, duty);
    for (role, reason, part) in [
        (Role::Engine(EngineKind::Postgres), Reason::Unschedulable, Some("DatabaseReady")),
        (Role::Engine(EngineKind::Redis), Reason::ImageUnavailable, Some("CacheReady")),
        (Role::Engine(EngineKind::Kafka), Reason::CrashLooping, Some("EventsReady")),
        (Role::Engine(EngineKind::Objects), Reason::ContainerNotStarted, Some("ObjectStoreReady")),
        (order(Duty::Migration), Reason::ImageUnavailable, None),
        (order(Duty::Stable), Reason::ContainerNotStarted, Some("ServicesReady")),
    ] {
        let (mut world, mut process) = (World::new(), Process::new(0));
        let message = format!("{role}: pod x does not work");
        world.pod_problems = vec![PodProblem { role, reason, message: message.clone() }];
        world.create(json!({}));
        process.follow(&mut world).unwrap();
        let said = format!("{}: {message}", reason.as_str());
        assert_eq!(condition(&world, "Degraded"), format!("True {said}"));
        if let Some(type_) = part {
            assert_eq!(condition(&world, type_), format!("False {said}"));
        }
        world.pod_problems.clear();
        settle(&mut world, &mut process);
        assert_eq!(condition(&world, "Degraded"), "False AsDesired: nothing needs help");
        assert!(condition(&world, "UpToDate").starts_with("True"));
    }
}

#[test]
fn pods_that_the_api_server_refuses_are_reported() {
    let (mut world, mut process) = settled(json!({}));
    let key = ChildKey { resource: "deployments.apps".into(), name: "demo-cart".to_owned() };
    let refusal = |status: &str| {
        let words = "pods \"demo-cart-x\" is forbidden: exceeded quota: small";
        json!({ "conditions": [{ "type": "ReplicaFailure", "status": status, "message": words }] })
    };
    assert!(world.objects.set_status(&key, &refusal("True")));
    process.follow(&mut world).unwrap();
    let degraded = condition(&world, "Degraded");
    assert!(degraded.starts_with("True PodsRefused: cart: no pod of Deployment demo-cart"));
    assert!(degraded.contains("exceeded quota"), "{degraded}");
    assert!(world.objects.set_status(&key, &refusal("False")));
    settle(&mut world, &mut process);
    assert!(condition(&world, "Degraded").starts_with("False"));
}
