//! What a deletion leaves, and what it does not.

use std::time::Duration;

use kube::api::DeleteParams;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::server::variable;
use crate::world::{NAME, World};

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

#[tokio::test]
async fn delete_leaves_no_database_role_or_topic() {
    let world = World::new().await;
    world.create(json!({ "deletionPolicy": "Delete" })).await;
    let operator = world.operator().await;
    let shop = world.until_ready().await;
    assert_eq!(databases(&world.namespace).await, (7, 7));
    assert_eq!(topics(&world.namespace).await, 12);
    for ((kind, name), child) in world.children().await {
        assert!(!child.metadata.owner_references.unwrap_or_default().is_empty(), "{kind} {name}");
    }
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    assert_eq!(databases(&world.namespace).await, (0, 0));
    assert_eq!(topics(&world.namespace).await, 0);
    drop((operator, shop));
}

#[tokio::test]
async fn retain_leaves_data_and_credentials() {
    let world = World::new().await;
    world.create(json!({})).await;
    let _operator = world.operator().await;
    let shop = world.until_ready().await;
    assert!(shop.metadata.finalizers.is_none(), "nothing holds a Shop that leaves its data");
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    world.collect_garbage(shop.metadata.uid.as_deref().unwrap()).await;
    assert_eq!(databases(&world.namespace).await, (7, 7));
    assert_eq!(topics(&world.namespace).await, 12);
    let left: Vec<String> = world.children().await.into_keys().map(|(kind, _)| kind).collect();
    assert!(!left.is_empty() && left.iter().all(|kind| kind == "Secret"), "{left:?}");
}

#[tokio::test]
async fn a_finalizer_never_holds_a_shop_whose_credentials_are_gone() {
    let world = World::new().await;
    world.create(json!({ "deletionPolicy": "Delete" })).await;
    let _operator = world.operator().await;
    world.until_ready().await;
    let secrets = world.api::<k8s_openapi::api::core::v1::Secret>();
    secrets.delete("postgres-admin", &DeleteParams::default()).await.unwrap();
    world.shops().delete(NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
}
