//! Rotation of the key that access tokens are signed with.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use operator_core::names;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::{PATIENCE, World};

const PRIVATE: &str = "demo-signing-key";
const PUBLIC: &str = "demo-public-keys";

fn value(secret: &Secret, key: &str) -> String {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.map(|value| String::from_utf8(value.0.clone()).unwrap()).unwrap_or_default()
}

fn kids(secret: &Secret) -> Vec<String> {
    let set: Value = serde_json::from_str(&value(secret, "jwks.json")).unwrap_or_default();
    let keys = set["keys"].as_array().into_iter().flatten();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn get(world: &World, name: &str) -> Secret {
    world.api::<Secret>().get(name).await.unwrap()
}

async fn until(world: &World, name: &str, what: &str, holds: impl Fn(&Secret) -> bool) -> Secret {
    let condition = |secret: Option<&Secret>| secret.is_some_and(&holds);
    let found = timeout(PATIENCE, await_condition(world.api::<Secret>(), name, condition)).await;
    found.unwrap_or_else(|late| panic!("{what}: {late}")).unwrap().unwrap()
}

async fn secrets_hash(world: &World, deployment: &str) -> String {
    let deployment = world.api::<Deployment>().get(deployment).await.unwrap();
    let template = deployment.spec.unwrap().template.metadata.unwrap();
    template.annotations.unwrap()[names::SECRETS_HASH].clone()
}

/// Makes the next key look as if it had been published at that time.
async fn publish_at(world: &World, time: &str) {
    let patch = json!({ "data": { "publishedAt": BASE64_STANDARD.encode(time) } });
    let secrets = world.api::<Secret>();
    secrets.patch(PRIVATE, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test]
async fn a_requested_rotation_restarts_user_alone_and_keeps_the_old_key_published() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    world.until_ready().await;
    let (private, public) = (get(&world, PRIVATE).await, kids(&get(&world, PUBLIC).await));
    assert_eq!(public.len(), 2, "current and next");
    let hashes =
        (secrets_hash(&world, "demo-user").await, secrets_hash(&world, "demo-order").await);
    let hour_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    publish_at(&world, &hour_ago.to_string()).await;

    world
        .change(json!({ "metadata": { "annotations": { names::ROTATE_SIGNING_KEY: "audit" } } }))
        .await;
    let next = value(&private, "next.pem");
    until(&world, PRIVATE, "rotated", |secret| value(secret, "key.pem") == next).await;
    let published = until(&world, PUBLIC, "published", |secret| kids(secret).len() == 3).await;
    assert_eq!((&kids(&published)[0], &kids(&published)[2]), (&public[1], &public[0]));
    world.until_ready().await;
    operator.settle(&world).await;
    assert_ne!(secrets_hash(&world, "demo-user").await, hashes.0);
    assert_eq!(secrets_hash(&world, "demo-order").await, hashes.1, "it reads the set again itself");

    // The same request again, a day later, asks for nothing, and the previous key goes.
    let day_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(25);
    publish_at(&world, &day_ago.to_string()).await;
    world.change(json!({ "metadata": { "annotations": { "example.com/any": "change" } } })).await;
    let left = until(&world, PUBLIC, "dropped", |secret| kids(secret).len() == 2).await;
    assert_eq!(kids(&left), kids(&published)[..2]);
    assert_eq!(value(&get(&world, PRIVATE).await, "key.pem"), next);
}

#[tokio::test]
async fn a_key_rotates_by_itself_and_a_deleted_one_takes_all_along() {
    let world = World::new().await;
    world.create(json!({})).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    let next = value(&get(&world, PRIVATE).await, "next.pem");
    publish_at(&world, "2026-01-01T00:00:00Z").await;
    world.change(json!({ "metadata": { "annotations": { "example.com/any": "change" } } })).await;
    until(&world, PRIVATE, "rotated", |secret| value(secret, "key.pem") == next).await;
    let old = until(&world, PUBLIC, "published", |secret| kids(secret).len() == 3).await;
    let old = kids(&old);

    world.api::<Secret>().delete(PRIVATE, &DeleteParams::default()).await.unwrap();
    let gone = |secret: &Secret| {
        let new = kids(secret);
        new.len() == 2 && new.iter().all(|kid| !old.contains(kid))
    };
    until(&world, PUBLIC, "replaced", gone).await;
}
