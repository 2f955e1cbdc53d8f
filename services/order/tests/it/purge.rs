//! Removing what is remembered of orders, however much of it there is.

use kit::testing::eventually;
use order::db;
use order::guards::UNCONFIRMED_COUNTS_FOR;
use uuid::Uuid;

use crate::world::World;

/// Twelve thousand networks of orders that are open no longer, and second steps that ended long ago; a statement that
/// removes more than a batch fails.
const FILL: &str = "INSERT INTO order_networks (order_id, network)
    SELECT gen_random_uuid(), '203.0.113.7' FROM generate_series(1, 12000);
    INSERT INTO second_steps (order_id, ended_at)
    SELECT gen_random_uuid(), now() + make_interval(mins => ended)
    FROM generate_series(1, 6000), (VALUES (-61), (61)) minutes (ended);
    INSERT INTO second_steps (order_id, ended_at) VALUES (gen_random_uuid(), now() - interval '59 minutes');
    INSERT INTO second_steps (order_id) VALUES (gen_random_uuid());
    CREATE FUNCTION refuse_many() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (SELECT count(*) FROM gone) > 5000 THEN
            RAISE EXCEPTION 'one statement removes too many rows of %', TG_TABLE_NAME;
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER refuse_many AFTER DELETE ON order_networks REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_many();
    CREATE TRIGGER refuse_many AFTER DELETE ON second_steps REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_many()";

#[tokio::test]
async fn networks_are_forgotten_in_batches() {
    let world = World::start().await;
    let (pool, open) = (world.service.pool(), world.place().await);
    sqlx::raw_sql(FILL).execute(pool).await.unwrap();
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
    sqlx::raw_sql(FILL).execute(pool).await.unwrap();
    db::forget_second_steps(pool, UNCONFIRMED_COUNTS_FOR).await.unwrap();
    eventually("what counts, and what waits, is left", async || {
        let left = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM second_steps");
        (left.fetch_one(pool).await.unwrap() == 2).then_some(())
    })
    .await;
}
