//! Orders against real Postgres and Kafka. The catalog and the cart are the only parts that are
//! played: they are foreign to this service, and playing them lets prices and failures be chosen. In [`money`] the real
//! payment service takes part.

#![expect(clippy::unwrap_used, reason = "a test")]

mod bad_input;
mod cache;
mod expiry;
mod guards;
mod idempotency;
mod machine;
mod money;
mod networks;
mod owed;
mod paying;
mod peers;
mod placing;
mod purge;
mod reading;
mod rebuild;
mod returning;
mod saga;
mod searching;
mod unverified;
mod world;

#[test]
fn the_openapi_document_is_current() {
    kit::testing::check_openapi::<order::Order>(env!("CARGO_MANIFEST_DIR"));
}

#[tokio::test]
async fn migrations_can_be_taken_back() {
    use kit::Service;

    let world = world::World::start().await;
    let (pool, migrator) = (world.service.pool(), order::Order::migrator().unwrap());
    let steps = migrator.iter().filter(|step| step.migration_type.is_up_migration()).count();
    kit::postgres::migrate_down(pool, migrator, steps).await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename IN ('orders', 'order_events')";
    let left: i64 = sqlx::query_scalar(tables).fetch_one(pool).await.unwrap();
    assert_eq!(left, 0);
    kit::postgres::migrate_up(pool, migrator).await.unwrap();
}
