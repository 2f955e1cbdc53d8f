//! Topics in an external Kafka, and whose they are.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use operator_core::crd::Shop;
use operator_core::role::Role;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use crate::deletion::topics;
use crate::server::variable;
use crate::world::{NAME, World, condition};

fn admin() -> AdminClient<DefaultClientContext> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", variable("TEST_KAFKA_BROKERS"));
    client.create().unwrap()
}

fn order_topic(world: &World) -> String {
    format!("{}.{NAME}.order.v1", world.namespace)
}

/// A compacted topic with one of the shop's names.
async fn make_foreign_topic(world: &World) {
    let name = order_topic(world);
    let topic =
        NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    admin().create_topics(&[topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    until(world, |policy, partitions| policy == "compact" && partitions == 1).await;
}

/// Cleanup policy and number of partitions of the order topic, if it is there.
async fn state(world: &World) -> Option<(String, usize)> {
    let name = order_topic(world);
    let topic = name.clone();
    let partitions = tokio::task::spawn_blocking(move || {
        let metadata = admin().inner().fetch_metadata(None, Duration::from_secs(10)).unwrap();
        let found = metadata.topics().iter().find(|found| found.name() == topic)?;
        Some(found.partitions().len())
    });
    let partitions = partitions.await.unwrap()?;
    let resource = [ResourceSpecifier::Topic(&name)];
    let config = admin().describe_configs(&resource, &AdminOptions::new()).await.unwrap();
    let config = config.into_iter().next()?.ok()?;
    Some((config.get("cleanup.policy")?.value.clone()?, partitions))
}

/// Brokers answer at once and replicate metadata later.
async fn until(world: &World, holds: impl Fn(&str, usize) -> bool) {
    let reached = async {
        while !state(world).await.is_some_and(|(policy, partitions)| holds(&policy, partitions)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, reached).await.expect("the topic is so in time");
}

fn is_taken(shop: &Shop) -> bool {
    condition(shop, "EventsReady") == ("False", "TopicTaken")
}

fn with(policy: &str) -> Value {
    json!({ "deletionPolicy": policy, "topics": { "partitions": 3 } })
}

#[tokio::test]
async fn a_foreign_topic_is_neither_altered_nor_deleted() {
    let world = World::new().await;
    make_foreign_topic(&world).await;
    world.create(with("Delete")).await;
    let operator = world.operator().await;
    let shop = world.until("refused", is_taken).await;
    let conditions = shop.status.as_ref().unwrap().conditions.iter();
    let events = conditions.clone().find(|condition| condition.type_ == "EventsReady").unwrap();
    for word in [&*order_topic(&world), "topics.adoptExisting"] {
        assert!(events.message.contains(word), "{}", events.message);
    }
    assert_eq!(condition(&shop, "Ready").0, "False");
    operator.reconcile(&shop).await;
    assert_eq!(state(&world).await, Some(("compact".to_owned(), 1)));
    assert_eq!(topics(&world.namespace).await, 1, "no topic is made beside it");

    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    assert_eq!(state(&world).await, Some(("compact".to_owned(), 1)));
}

#[tokio::test]
async fn a_topic_is_adopted_when_the_spec_says_so_and_then_goes_with_the_shop() {
    let world = World::new().await;
    make_foreign_topic(&world).await;
    world.create(with("Delete")).await;
    let _operator = world.operator().await;
    world.until("refused", is_taken).await;
    world.change(json!({ "spec": { "topics": { "adoptExisting": true } } })).await;
    world.until_ready().await;
    until(&world, |policy, partitions| policy == "delete" && partitions == 3).await;

    // What was adopted stays the Shop's own.
    world.change(json!({ "spec": { "topics": { "adoptExisting": false } } })).await;
    world.until_ready().await;
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    assert_eq!(topics(&world.namespace).await, 0);
}

#[tokio::test]
async fn a_new_shop_of_the_same_name_has_the_topics_that_were_left() {
    let world = World::new().await;
    world.create(with("Retain")).await;
    let operator = world.operator().await;
    let first = world.until_ready().await;
    operator.settle(&world).await;
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    world.collect_garbage(first.metadata.uid.as_deref().unwrap()).await;
    assert_eq!(topics(&world.namespace).await, 12);

    world.create(with("Delete")).await;
    world.until_ready().await;
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    assert_eq!(topics(&world.namespace).await, 0);
}

/// An operator of an earlier version has left a status and no record.
#[tokio::test]
async fn a_shop_of_an_earlier_operator_keeps_its_topics() {
    let world = World::new().await;
    world.create(with("Delete")).await;
    let operator = world.operator().await;
    world.until_ready().await;
    operator.settle(&world).await;
    operator.stop().await;
    let (records, name) = (world.api::<ConfigMap>(), "demo-topics");
    let owners = records.get(name).await.unwrap().metadata.owner_references;
    assert_eq!(owners, None, "the record outlives the Shop");
    records.delete(name, &DeleteParams::default()).await.unwrap();

    let operator = world.operator().await;
    world.change(json!({ "spec": { "topics": { "partitions": 4 } } })).await;
    until(&world, |_, partitions| partitions == 4).await;
    world.until_ready().await;
    assert!(records.get_opt(name).await.unwrap().is_some());
    operator.stop().await;

    // It is deleted before an operator of this version has looked at it.
    records.delete(name, &DeleteParams::default()).await.unwrap();
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    let _operator = world.operator().await;
    world.until_gone().await;
    assert_eq!(topics(&world.namespace).await, 0);
}

/// A record that was taken over from elsewhere says nothing of this cluster.
#[tokio::test]
async fn a_record_of_another_cluster_makes_no_topic_the_shops() {
    let world = World::new().await;
    make_foreign_topic(&world).await;
    let record = json!({ "elsewhere": [order_topic(&world)] }).to_string();
    let labels = operator_core::names::object_labels(NAME, Role::Topics);
    let map: ConfigMap = serde_json::from_value(json!({
        "metadata": { "name": "demo-topics", "labels": labels },
        "data": { "topics.json": record },
    }))
    .unwrap();
    let params = PatchParams::apply("test");
    let map = Patch::Apply(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": map.metadata, "data": map.data,
    }));
    world.api::<ConfigMap>().patch("demo-topics", &params, &map).await.unwrap();
    world.create(with("Retain")).await;
    let _operator = world.operator().await;
    world.until("refused", is_taken).await;
    assert_eq!(state(&world).await, Some(("compact".to_owned(), 1)));
}
