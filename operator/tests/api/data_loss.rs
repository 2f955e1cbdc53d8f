//! Databases that lose their data while the Shop lives on.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use kube::runtime::wait::await_condition;
use operator_core::components::{COMPONENTS, Need};
use operator_core::crd::{ServiceName, Shop};
use operator_core::names;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tokio::time::timeout;

use crate::kubelet::{self, HELD};
use crate::server::variable;
use crate::world::{NAME, PATIENCE, World, condition};

fn database(world: &World, service: ServiceName) -> String {
    names::database(&world.namespace, NAME, service)
}

async fn connect(database: &str) -> PgConnection {
    let server: PgConnectOptions = variable("TEST_DATABASE_URL").parse().unwrap();
    server.database(database).connect().await.unwrap()
}

async fn run(database: &str, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connect(database).await).await.unwrap();
}

async fn drop_database(world: &World, service: ServiceName) {
    let name = database(world, service);
    run("postgres", format!("DROP DATABASE \"{name}\" WITH (FORCE)")).await;
}

/// A Shop whose migrations of `order` end when the test says so.
fn held() -> Value {
    let image = format!("example.com/{HELD}:1");
    json!({ "services": [{ "name": "order", "image": image }] })
}

/// Waits for the migration Job of `order` that has another UID than this one.
async fn migration(world: &World, other: Option<&Job>) -> Job {
    let uid = other.and_then(ResourceExt::uid);
    let labels = format!("{}=order-migrate", names::COMPONENT_LABEL);
    let jobs = world.api::<Job>();
    let find = async {
        loop {
            let list = jobs.list(&ListParams::default().labels(&labels)).await.unwrap().items;
            if let Some(job) = list.into_iter().find(|job| job.uid() != uid) {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, find).await.expect("a migration is due in time")
}

async fn complete(world: &World, job: &Job) {
    kubelet::write(&world.api::<Job>(), &job.name_any(), kubelet::complete()).await;
}

/// What a kubelet says of pods whose database is away.
async fn fail_pods(world: &World) {
    let deployments = world.api::<Deployment>();
    kubelet::write(&deployments, "demo-order", json!({ "unavailableReplicas": 1 })).await;
}

fn lost(shop: &Shop) -> Vec<String> {
    let loss = shop.status.as_ref().and_then(|status| status.data_loss.as_ref());
    loss.map(|loss| loss.databases.clone()).unwrap_or_default()
}

fn message<'s>(shop: &'s Shop, type_: &str) -> &'s str {
    let mut conditions = shop.status.as_ref().unwrap().conditions.iter();
    &conditions.find(|condition| condition.type_ == type_).unwrap().message
}

#[tokio::test]
async fn a_database_that_vanished_is_migrated_again_and_its_loss_is_reported() {
    let world = World::new().await;
    world.create(held()).await;
    let operator = world.operator().await;
    let first = migration(&world, None).await;
    complete(&world, &first).await;
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "DataLost"), ("False", "NoDataLost"));
    operator.settle(&world).await;

    drop_database(&world, ServiceName::Order).await;
    fail_pods(&world).await;
    let shop = world.until("lost", |shop| condition(shop, "DataLost").0 == "True").await;
    let name = database(&world, ServiceName::Order);
    assert_eq!(lost(&shop), [name.as_str()]);
    let text = message(&shop, "DataLost");
    for word in [&*name, "Postgres at ", "restore", names::ACKNOWLEDGE_DATA_LOSS] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(condition(&shop, "Degraded"), ("True", "DataLost"));
    let second = migration(&world, Some(&first)).await;
    let shop = world.shop().await;
    assert_eq!(condition(&shop, "Ready").0, "False", "the database is empty");
    assert_eq!(condition(&shop, "MigrationsApplied").0, "False");
    assert_eq!(shop.status.unwrap().migrations.as_deref(), Some("6/7"));

    complete(&world, &second).await;
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "DataLost").0, "True", "it holds until it is acknowledged");
    let known = json!({ "metadata": { "annotations": { names::ACKNOWLEDGE_DATA_LOSS: "true" } } });
    world.change(known).await;
    let shop = world
        .until("acknowledged", |shop| {
            condition(shop, "DataLost").0 == "False"
                && !shop.annotations().contains_key(names::ACKNOWLEDGE_DATA_LOSS)
        })
        .await;
    assert_eq!(condition(&shop, "Degraded").0, "False");
    operator.settle(&world).await;
}

/// As after a change of the server's address, or of the whole volume.
#[tokio::test]
async fn every_database_that_vanished_while_no_operator_ran_is_reported() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    world.until_ready().await;
    operator.stop().await;
    let services = COMPONENTS.iter().filter(|component| component.needs(Need::Database));
    let mut names = Vec::new();
    for service in services {
        drop_database(&world, service.name).await;
        names.push(database(&world, service.name));
    }
    names.sort();
    let operator = world.operator().await;
    let shop = world.until("lost", |shop| condition(shop, "DataLost").0 == "True").await;
    assert_eq!(lost(&shop), names);
    let migrated = |shop: &Shop| condition(shop, "MigrationsApplied").0 == "True";
    world.until("migrated again", migrated).await;
    world.until_ready().await;
    operator.settle(&world).await;
}

#[tokio::test]
async fn a_migration_that_ran_before_its_database_was_lost_does_not_count() {
    let world = World::new().await;
    world.create(held()).await;
    let operator = world.operator().await;
    let first = migration(&world, None).await;
    complete(&world, &first).await;
    world.until_ready().await;
    operator.settle(&world).await;
    operator.stop().await;

    // The operator died before it could delete the Job.
    let jobs = world.api::<Job>();
    let mut again = first.clone();
    again.metadata.resource_version = None;
    again.metadata.uid = None;
    again.spec.as_mut().unwrap().selector = None;
    let labels = again.spec.as_mut().unwrap().template.metadata.as_mut().unwrap();
    labels
        .labels
        .as_mut()
        .unwrap()
        .retain(|label, _| !label.contains("-uid") && !label.contains("job-name"));
    let old = jobs.create(&PostParams::default(), &again).await.unwrap();
    complete(&world, &old).await;
    drop_database(&world, ServiceName::Order).await;

    let operator = world.operator().await;
    let second = migration(&world, Some(&old)).await;
    let shop = world.shop().await;
    assert_eq!(condition(&shop, "MigrationsApplied").0, "False");
    let (name, uid) = (old.name_any(), old.uid());
    let gone =
        await_condition(jobs, &name, |job: Option<&Job>| job.and_then(ResourceExt::uid) != uid);
    timeout(PATIENCE, gone).await.expect("the old Job goes in time").unwrap();
    complete(&world, &second).await;
    let shop = world.until_ready().await;
    assert_eq!(lost(&shop), [database(&world, ServiceName::Order)]);
    operator.settle(&world).await;
}

/// What an operator of an earlier version has left: databases without a comment. It has also served on where a database
/// was lost.
#[tokio::test]
async fn databases_of_an_earlier_operator_are_believed_where_they_have_a_schema() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    world.until_ready().await;
    operator.settle(&world).await;
    operator.stop().await;
    let services = COMPONENTS.iter().filter(|component| component.needs(Need::Database));
    for service in services {
        let name = database(&world, service.name);
        run("postgres", format!("COMMENT ON DATABASE \"{name}\" IS NULL")).await;
        if service.name != ServiceName::Order {
            let table = "CREATE TABLE _sqlx_migrations AS SELECT 1 AS version";
            let owner = format!("ALTER TABLE _sqlx_migrations OWNER TO \"{name}\"");
            run(&name, format!("{table}; {owner}")).await;
        }
    }
    let operator = world.operator().await;
    let shop = world.until("lost", |shop| condition(shop, "DataLost").0 == "True").await;
    assert_eq!(lost(&shop), [database(&world, ServiceName::Order)]);
    world.until_ready().await;
    operator.settle(&world).await;
    let jobs = world.api::<Job>().list(&ListParams::default()).await.unwrap().items;
    assert!(jobs.is_empty(), "{jobs:?}");
}
