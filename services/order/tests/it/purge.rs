//! Removing what is remembered of orders, however much of it there is.

use kit::testing::{eventually, refuse_large_statements};
use order::db;
use order::guards::LEFT_UNPAID_COUNTS_FOR;
use sqlx::PgPool;
use uuid::Uuid;

use crate::world::World;

/// Twelve thousand networks of orders that are open no longer, and second steps that ended long ago.
const FILL: &str = "INSERT INTO order_networks (order_id, network)
    SELECT gen_random_uuid(), '203.0.113.7' FROM generate_series(1, 12000);
    INSERT INTO second_steps (order_id, ended_at)
    SELECT gen_random_uuid(), now() + make_interval(mins => ended)
    FROM generate_series(1, 6000), (VALUES (-61), (61)) minutes (ended);
    INSERT INTO second_steps (order_id, ended_at) VALUES (gen_random_uuid(), now() - interval '59 minutes');
    INSERT INTO second_steps (order_id) VALUES (gen_random_uuid())";

async fn fill(pool: &PgPool) {
    refuse_large_statements(pool, &["order_networks", "second_steps"]).await;
    sqlx::raw_sql(FILL).execute(pool).await.unwrap();
}

#[tokio::test]
async fn networks_are_forgotten_in_batches() {
    let world = World::start().await;
    let (pool, open) = (world.service.pool(), world.place().await);
    fill(pool).await;
    let row = "INSERT INTO order_networks (order_id, network) VALUES ($1, '203.0.113.7')";
    sqlx::query(row).bind(open.uuid()).execute(pool).await.unwrap();
    db::forget_networks(pool).await.unwrap();
    // The sweeper of the service may be removing a part.
    eventually("the open order's is left alone", async || {
        let left = sqlx::query_scalar::<_, Uuid>("SELECT order_id FROM order_networks");
        (left.fetch_all(pool).await.unwrap() == [open.uuid()]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn second_steps_are_forgotten_in_batches_when_they_count_no_longer() {
    let world = World::start().await;
    let pool = world.service.pool();
    fill(pool).await;
    db::forget_second_steps(pool, LEFT_UNPAID_COUNTS_FOR).await.unwrap();
    eventually("what counts, and what waits, is left", async || {
        let left = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM second_steps");
        (left.fetch_one(pool).await.unwrap() == 2).then_some(())
    })
    .await;
}
