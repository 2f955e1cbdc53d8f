//! Shops that use one external server.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Patch, PatchParams};
use operator_core::crd::Shop;
use serde_json::json;

use crate::deletion::topics;
use crate::server::variable;
use crate::world::{NAME, World, condition};

#[tokio::test]
async fn of_two_shops_with_the_same_topics_the_younger_is_refused_and_deletes_none() {
    let world = World::new().await;
    let shared = json!({ "prefix": format!("{}.shared", world.namespace) });
    world.create(json!({ "topics": shared })).await;
    let _operator = world.operator().await;
    world.until_ready().await;

    // The same cluster by another name.
    let brokers = variable("TEST_KAFKA_BROKERS").replace("127.0.0.1", "localhost");
    let events = json!({ "external": { "bootstrapServers": [brokers] } });
    let late = json!({ "topics": shared, "events": events, "deletionPolicy": "Delete" });
    world.create_named("younger", late.clone()).await;
    let shop = world
        .until_of("younger", "refused", |shop| {
            condition(shop, "EventsReady") == ("False", "TopicTaken")
        })
        .await;
    let conditions = shop.status.unwrap().conditions;
    let degraded = conditions.iter().find(|condition| condition.type_ == "Degraded").unwrap();
    let holder = format!("Shop {}/{NAME} has the topics", world.namespace);
    assert!(degraded.message.contains(&holder), "{}", degraded.message);
    let order = world.api::<Deployment>().get_opt("younger-order").await.unwrap();
    assert!(order.is_none(), "it would read the other's events");
    world.shops().delete("younger", &DeleteParams::default()).await.unwrap();
    world.until_none("younger").await;
    assert_eq!(topics(&world.namespace).await, 12);

    world.create_named("heir", late).await;
    let refused = |shop: &_| condition(shop, "EventsReady") == ("False", "TopicTaken");
    world.until_of("heir", "refused", refused).await;
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    // Nothing is the other's any more, and what it has left is not the heir's.
    let left = |shop: &Shop| {
        let conditions = shop.status.iter().flat_map(|status| &status.conditions);
        let mut degraded = conditions.filter(|condition| condition.type_ == "EventsReady");
        degraded.any(|condition| condition.message.contains("topics.adoptExisting"))
    };
    world.until_of("heir", "refused for what is left", left).await;
    let adopt = Patch::Merge(json!({ "spec": { "topics": { "adoptExisting": true } } }));
    world.shops().patch("heir", &PatchParams::default(), &adopt).await.unwrap();
    world.until_of("heir", "ready", |shop| condition(shop, "Ready").0 == "True").await;
}
