//! What a deletion leaves, and what it does not.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use operator_core::crd::Shop;
use operator_core::names::managed_selector;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::net::TcpListener;

use crate::server::variable;
use crate::world::{NAME, World, condition, observed};

/// Databases and roles that belong to a namespace.
async fn databases(namespace: &str) -> (i64, i64) {
    let mut connection = PgConnection::connect(&variable("TEST_DATABASE_URL")).await.unwrap();
    let count = |table: &str, column: &str| {
        sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE {column} LIKE $1"))
    };
    let prefix = format!("{namespace}\\_%");
    let databases = sqlx::query_scalar(count("pg_database", "datname")).bind(&prefix);
    let databases = databases.fetch_one(&mut connection).await.unwrap();
    let roles = sqlx::query_scalar(count("pg_roles", "rolname")).bind(&prefix);
    (databases, roles.fetch_one(&mut connection).await.unwrap())
}

pub(crate) async fn topics(namespace: &str) -> usize {
    let prefix = format!("{namespace}.");
    let client: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", variable("TEST_KAFKA_BROKERS"))
        .create()
        .unwrap();
    let count = tokio::task::spawn_blocking(move || {
        let metadata = client.inner().fetch_metadata(None, Duration::from_secs(10)).unwrap();
        metadata.topics().iter().filter(|topic| topic.name().starts_with(&prefix)).count()
    });
    count.await.unwrap()
}

/// External engines, and one bundled that has a volume.
fn with(policy: &str) -> Value {
    let objects = json!({ "external": null, "bundled": { "storage": { "size": "1Gi" } } });
    json!({ "deletionPolicy": policy, "objectStore": objects })
}

async fn set_policy(world: &World, policy: &str) -> Shop {
    world.change(json!({ "spec": { "deletionPolicy": policy } })).await
}

async fn until_observed(world: &World) {
    let seen = |shop: &Shop| observed(shop) == shop.metadata.generation;
    world.until("the change was seen", seen).await;
}

async fn delete(world: &World) {
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
}

/// Names of the Shop's volumes and Secrets, and whether they are on their way out.
async fn data(world: &World) -> Vec<(String, bool)> {
    let ours = ListParams::default().labels(&managed_selector());
    let claims = world.api::<PersistentVolumeClaim>().list_metadata(&ours).await.unwrap().items;
    let secrets = world.api::<Secret>().list_metadata(&ours).await.unwrap().items;
    let claims = claims.iter().map(|o| (o.name_any(), o.metadata.deletion_timestamp.is_some()));
    let secrets = secrets.iter().map(|o| (o.name_any(), o.metadata.deletion_timestamp.is_some()));
    claims.chain(secrets).collect()
}

/// Nothing of the data was touched, and no garbage collector will.
async fn assert_kept(world: &World) {
    assert_eq!(databases(&world.namespace).await, (7, 7));
    assert_eq!(topics(&world.namespace).await, 12);
    let data = data(world).await;
    for name in ["demo-objects-data", "demo-objects", "demo-order-database", "demo-signing-key"] {
        assert!(data.contains(&(name.to_owned(), false)), "{name}: {data:?}");
    }
    let claims = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap();
    let secrets = world.api::<Secret>().list(&ListParams::default()).await.unwrap();
    assert!(claims.iter().all(|claim| claim.metadata.owner_references.is_none()));
    assert!(secrets.iter().all(|secret| secret.metadata.owner_references.is_none()));
}

async fn assert_erased(world: &World) {
    assert_eq!(databases(&world.namespace).await, (0, 0));
    assert_eq!(topics(&world.namespace).await, 0);
    // A volume waits for a controller, which is not there, to say that no pod uses it.
    let left: Vec<_> = data(world).await.into_iter().filter(|(_, going)| !going).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn delete_leaves_no_database_role_or_topic() {
    let world = World::new().await;
    world.create(with("Delete")).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    assert_eq!(databases(&world.namespace).await, (7, 7));
    assert_eq!(topics(&world.namespace).await, 12);
    delete(&world).await;
    world.until_gone().await;
    assert_erased(&world).await;
}

#[tokio::test]
async fn retain_leaves_data_and_credentials() {
    let world = World::new().await;
    world.create(with("Retain")).await;
    let _operator = world.operator().await;
    let shop = world.until_ready().await;
    delete(&world).await;
    world.until_gone().await;
    world.collect_garbage(shop.metadata.uid.as_deref().unwrap()).await;
    assert_kept(&world).await;
    let left: Vec<String> = world.children().await.into_keys().map(|(kind, _)| kind).collect();
    let other = left.iter().filter(|kind| *kind != "Secret").collect::<Vec<_>>();
    assert_eq!(other, ["ConfigMap"], "the record of its topics");
}

/// Owner references as operators of earlier versions wrote them under `Delete`.
async fn own_data(world: &World, shop: &Shop) {
    let owner = kube::Resource::controller_owner_ref(shop, &()).unwrap();
    let patch = Patch::Merge(json!({ "metadata": { "ownerReferences": [owner] } }));
    let params = PatchParams::default();
    let claims = world.api::<PersistentVolumeClaim>();
    claims.patch("demo-objects-data", &params, &patch).await.unwrap();
    world.api::<Secret>().patch("demo-order-database", &params, &patch).await.unwrap();
}

#[tokio::test]
async fn a_policy_that_changed_during_a_pause_decides_about_the_data() {
    for (before, after) in [("Delete", "Retain"), ("Retain", "Delete")] {
        let world = World::new().await;
        world.create(with(before)).await;
        let operator = world.operator().await;
        let shop = world.until_ready().await;
        operator.settle(&world).await;
        let pause = json!({ "metadata": { "annotations": { "shop-operator.io/paused": "true" } } });
        world.change(pause).await;
        world.until("paused", |shop| condition(shop, "Paused").0 == "True").await;
        own_data(&world, &shop).await;
        set_policy(&world, after).await;
        until_observed(&world).await;
        delete(&world).await;
        world.until_gone().await;
        if after == "Retain" { assert_kept(&world).await } else { assert_erased(&world).await }
    }
}

#[tokio::test]
async fn a_policy_that_changed_while_a_secret_was_missing_decides_about_the_data() {
    for (before, after) in [("Delete", "Retain"), ("Retain", "Delete")] {
        let world = World::new().await;
        world.create(with(before)).await;
        let _operator = world.operator().await;
        world.until_ready().await;
        world.api::<Secret>().delete("redis", &DeleteParams::default()).await.unwrap();
        let missing = |shop: &Shop| condition(shop, "Degraded") == ("True", "SecretMissing");
        world.until("the Secret is missing", missing).await;
        set_policy(&world, after).await;
        until_observed(&world).await;
        delete(&world).await;
        world.until_gone().await;
        if after == "Retain" { assert_kept(&world).await } else { assert_erased(&world).await }
    }
}

#[tokio::test]
async fn a_policy_that_changed_while_no_operator_ran_decides_about_the_data() {
    for (before, after) in [("Delete", "Retain"), ("Retain", "Delete")] {
        let world = World::new().await;
        world.create(with(before)).await;
        let operator = world.operator().await;
        world.until_ready().await;
        operator.stop().await;
        set_policy(&world, after).await;
        delete(&world).await;
        let _operator = world.operator().await;
        world.until_gone().await;
        if after == "Retain" { assert_kept(&world).await } else { assert_erased(&world).await }
    }
}

#[tokio::test]
async fn a_shop_that_was_never_valid_deletes_no_data_of_its_predecessor() {
    let world = World::new().await;
    world.create(with("Retain")).await;
    let operator = world.operator().await;
    let first = world.until_ready().await;
    operator.settle(&world).await;
    delete(&world).await;
    world.until_gone().await;
    world.collect_garbage(first.metadata.uid.as_deref().unwrap()).await;

    world.api::<Secret>().delete("redis", &DeleteParams::default()).await.unwrap();
    world.create(with("Delete")).await;
    let missing = |shop: &Shop| condition(shop, "Ready") == ("False", "SecretMissing");
    world.until("the Secret is missing", missing).await;
    delete(&world).await;
    world.until_gone().await;
    assert_kept(&world).await;
}

#[tokio::test]
async fn a_finalizer_never_holds_a_shop_whose_credentials_are_gone() {
    let world = World::new().await;
    world.create(json!({ "deletionPolicy": "Delete" })).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    let secrets = world.api::<Secret>();
    secrets.delete("postgres-admin", &DeleteParams::default()).await.unwrap();
    delete(&world).await;
    world.until_gone().await;
}

/// Points the Shop to a port where no Postgres is; returns the right one.
async fn lose_postgres(world: &World) -> Value {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let spec = serde_json::to_value(world.shop().await.spec).unwrap();
    let port = spec["database"]["external"]["port"].clone();
    set_port(world, json!(closed)).await;
    port
}

async fn set_port(world: &World, port: Value) {
    let now = serde_json::to_value(world.shop().await.spec.database.external).unwrap();
    let moved = json!({ "host": now["host"], "port": now["port"] });
    let external = json!({ "port": port, "dataMovedFrom": moved });
    world.change(json!({ "spec": { "database": { "external": external } } })).await;
}

fn ready_message(shop: &Shop) -> &str {
    let mut conditions = shop.status.iter().flat_map(|status| &status.conditions);
    conditions.find(|condition| condition.type_ == "Ready").map_or("", |c| &c.message)
}

#[tokio::test]
async fn a_deletion_that_fails_says_what_is_left_and_goes_on_when_it_can() {
    let world = World::new().await;
    world.create(with("Delete")).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    let port = lose_postgres(&world).await;
    delete(&world).await;
    let waiting = |shop: &Shop| {
        condition(shop, "Ready") == ("False", "Deleting")
            && ready_message(shop).contains("could not delete databases")
    };
    let shop = world.until("it says that it cannot", waiting).await;
    let database = format!("{}_{NAME}_order", world.namespace);
    assert!(ready_message(&shop).contains(&database), "{}", ready_message(&shop));
    assert_eq!(databases(&world.namespace).await, (7, 7));
    set_port(&world, port).await;
    world.until_gone().await;
    assert_erased(&world).await;
}

#[tokio::test]
async fn a_deletion_that_fails_for_too_long_leaves_what_its_event_names() {
    let mut world = World::new().await;
    world.deletion_limit = Some(Duration::from_secs(1));
    world.create(with("Delete")).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    lose_postgres(&world).await;
    delete(&world).await;
    world.until_gone().await;
    assert_eq!(databases(&world.namespace).await, (7, 7));
    assert_eq!(topics(&world.namespace).await, 0, "Kafka answers");
    let events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    let mut left = events.iter().filter(|event| event.reason.as_deref() == Some("DataLeft"));
    let note = left.next().and_then(|event| event.note.clone()).unwrap_or_default();
    assert!(note.contains(&format!("{}_{NAME}_order", world.namespace)), "{note}");
}

#[tokio::test]
async fn a_deletion_names_the_workload_that_a_finalizer_holds() {
    let world = World::new().await;
    world.create(with("Delete")).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    let hold =
        |finalizers: Value| Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
    let deployments = world.api::<Deployment>();
    let params = PatchParams::default();
    deployments.patch("demo-order", &params, &hold(json!(["example.com/held"]))).await.unwrap();
    delete(&world).await;
    let waiting = |shop: &Shop| {
        condition(shop, "Ready") == ("False", "Deleting")
            && ready_message(shop) == "waiting for deployments/demo-order to be gone"
    };
    world.until("it names the Deployment", waiting).await;
    deployments.patch("demo-order", &params, &hold(json!(null))).await.unwrap();
    world.until_gone().await;
    assert_erased(&world).await;
}
