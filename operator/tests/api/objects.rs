//! The object store, which a shop sells without.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::api::DeleteParams;
use serde_json::json;
use tokio::net::TcpListener;

use crate::server::variable;
use crate::world::{NAME, World, condition};

#[tokio::test]
async fn a_shop_sells_while_its_object_store_is_away() {
    let world = World::new().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let at = |endpoint: &str| json!({ "objectStore": { "external": { "endpoint": endpoint } } });
    world.create(at(&format!("http://{closed}"))).await;
    let operator = world.operator().await;
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "ObjectStoreReady"), ("False", "ObjectStoreUnreachable"));
    assert_eq!(condition(&shop, "Degraded").0, "False");

    let mut moved = at(&variable("TEST_OBJECT_STORE_URL"));
    moved["objectStore"]["external"]["dataMovedFrom"] =
        json!({ "endpoint": format!("http://{closed}"), "bucket": "test" });
    world.change(json!({ "spec": moved })).await;
    let answers = |shop: &_| condition(shop, "ObjectStoreReady") == ("True", "ObjectStoreReady");
    world.until("the store answers", answers).await;
    world.until_ready().await;
    operator.comes_to_rest(&world, async || world.operator().await).await;
}

#[tokio::test]
async fn the_next_shop_has_the_volume_and_the_keys_of_the_bundled_store() {
    let world = World::new().await;
    let bundled =
        json!({ "objectStore": { "external": null, "bundled": { "storage": { "size": "1Gi" } } } });
    world.create(bundled.clone()).await;
    let operator = world.operator().await;
    let first = world.until_ready().await;
    assert_eq!(condition(&first, "ObjectStoreReady"), ("False", "Starting"), "it has no kubelet");
    operator.settle(&world).await;
    let keys = async || world.api::<Secret>().get("demo-objects").await.unwrap().data.unwrap();
    let before = keys().await;
    assert_eq!(before["accessKey"].0, b"demo");
    assert!(before["secretKey"].0.len() > 20, "a key is long");
    let claim = world.api::<PersistentVolumeClaim>().get("demo-objects-data").await.unwrap();
    assert_eq!(claim.metadata.owner_references, None, "it outlives the Shop");

    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    world.collect_garbage(first.metadata.uid.as_deref().unwrap()).await;
    let server = world.api::<StatefulSet>().get_opt("demo-objects").await.unwrap();
    assert!(server.is_none(), "the server has gone with the Shop");
    world.create(bundled).await;
    world.until_ready().await;
    assert_eq!(keys().await, before);
    let again = world.api::<PersistentVolumeClaim>().get("demo-objects-data").await.unwrap();
    assert_eq!(again.metadata.uid, claim.metadata.uid);
}
