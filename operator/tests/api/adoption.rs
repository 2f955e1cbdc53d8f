//! A Shop that comes back under its name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::world::{NAME, World, condition};

async fn passwords(world: &World) -> BTreeMap<String, Vec<u8>> {
    let list = world.api::<Secret>().list(&ListParams::default()).await.unwrap();
    let passwords = list.items.into_iter().filter_map(|secret| {
        let password = secret.data.as_ref()?.get("password")?.0.clone();
        Some((secret.name_any(), password))
    });
    passwords.collect()
}

#[tokio::test]
async fn a_new_shop_waits_for_its_predecessor_to_go_and_adopts_its_credentials() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    let first = world.until_ready().await;
    let secrets = passwords(&world).await;
    operator.settle(&world).await;

    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    let mut before = world.children().await;
    // What it leaves is adopted at once.
    before.retain(|_, child| !child.owner_references().is_empty());
    world.create(json!({})).await;
    world
        .until("waiting", |shop| condition(shop, "Ready") == ("False", "PredecessorNotGone"))
        .await;
    let after = world.children().await;
    for (key, child) in &before {
        assert_eq!(after[key].resource_version(), child.resource_version(), "{key:?} was touched");
    }

    world.collect_garbage(first.metadata.uid.as_deref().unwrap()).await;
    let second = world.until_ready().await;
    assert_ne!(first.metadata.uid, second.metadata.uid);
    assert_eq!(passwords(&world).await, secrets);
}

#[tokio::test]
async fn an_object_of_somebody_else_is_never_taken() {
    let world = World::new().await;
    let theirs: Secret = serde_json::from_value(json!({
        "metadata": { "name": "demo-signing-key" }, "data": {},
    }))
    .unwrap();
    world.api::<Secret>().create(&PostParams::default(), &theirs).await.unwrap();
    world.create(json!({})).await;
    let _operator = world.operator().await;
    world.until("refused", |shop| condition(shop, "Ready") == ("False", "NameTaken")).await;
    let now = world.api::<Secret>().get("demo-signing-key").await.unwrap();
    assert!(now.data.unwrap_or_default().is_empty());
}
