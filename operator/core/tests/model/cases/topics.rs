//! Topics in brokers that others use too.

use std::collections::BTreeMap;

use operator_core::facts::TopicState;
use serde_json::{Value, json};

use crate::process::Process;
use crate::world::{BROKERS, World};
use crate::{condition, external, settle, settled};

fn partitions(count: i32) -> Value {
    json!({ "topics": { "partitions": count }, "deletionPolicy": "Delete" })
}

fn topics(world: &mut World) -> &mut BTreeMap<String, TopicState> {
    &mut world.kafka.get_mut(BROKERS).unwrap().topics
}

#[test]
fn a_foreign_topic_is_neither_altered_nor_deleted() {
    let (mut straight, _) = settled(external(&json!({})));
    let name = topics(&mut straight).keys().next().unwrap().clone();
    let theirs = TopicState {
        partitions: 12,
        replicas: 3,
        config: [("cleanup.policy".to_owned(), "compact".to_owned())].into(),
    };
    let (mut world, mut process) = (World::new(), Process::new(0));
    topics(&mut world).insert(name.clone(), theirs.clone());
    world.create(external(&partitions(24)));
    settle(&mut world, &mut process);
    assert!(condition(&world, "EventsReady").starts_with("False TopicTaken"));
    assert!(condition(&world, "EventsReady").contains(&name));
    assert_eq!(topics(&mut world), &BTreeMap::from([(name.clone(), theirs.clone())]));
    world.delete_shop();
    settle(&mut world, &mut process);
    assert!(world.shop.is_none());
    assert_eq!(topics(&mut world), &BTreeMap::from([(name, theirs)]));
}

#[test]
fn topics_grow_and_never_shrink() {
    let (mut world, mut process) = settled(external(&partitions(3)));
    let mut all = |world: &mut World, count: i32| {
        world.patch_spec(&partitions(count));
        settle(world, &mut process);
        topics(world).values().map(|topic| topic.partitions).collect::<Vec<_>>()
    };
    let grown = all(&mut world, 6);
    assert!(grown.iter().all(|count| *count == 6), "{grown:?}");
    assert_eq!(all(&mut world, 1), grown);
    let refused = condition(&world, "EventsReady");
    assert!(refused.starts_with("False TopicChangeRefused"), "{refused}");
    assert!(refused.contains("fewer (1) would lose records"), "{refused}");
    assert_eq!(all(&mut world, 6), grown);
    assert!(condition(&world, "EventsReady").starts_with("True"));
}
