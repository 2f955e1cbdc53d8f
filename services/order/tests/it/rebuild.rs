//! The read model is made anew from the events while the service is busy.

use std::sync::Arc;

use contracts::OrderId;
use kit::testing::{engine, waiting};
use order::cache::Cache;
use order::event::{Cause, Event};
use order::rebuild::{self, Rebuilt};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::world::{World, captured, saga, stock_reserved};

/// What can be wrong with a row. The last is one that nothing has ever happened to.
const DAMAGE: [&str; 8] = [
    "UPDATE orders SET state = 'delivered', version = version + 7 WHERE id = $1",
    "UPDATE orders SET state = 'nonsense', payment = '', lines = '7' WHERE id = $1",
    "UPDATE orders SET user_id = gen_random_uuid(), total = total + 1 WHERE id = $1",
    "UPDATE orders SET payment_token = '4242', currency = '?' WHERE id = $1",
    "UPDATE orders SET lines = lines - 0, reason = 'by_staff' WHERE id = $1",
    "UPDATE orders SET created_at = '-infinity', updated_at = 'infinity' WHERE id = $1",
    "DELETE FROM orders WHERE id = $1",
    "WITH lost AS (DELETE FROM order_events WHERE order_id = $1) SELECT",
];

fn cache() -> Cache {
    crate::world::cache(&engine("TEST_REDIS_URL"))
}

async fn damage(world: &World, order: OrderId, sql: &'static str) {
    let damaged = sqlx::query(AssertSqlSafe(sql)).bind(order.uuid());
    damaged.execute(world.service.pool()).await.unwrap();
}

/// Every row, compared with what its events add up to; how many there are.
async fn compared(world: &World) -> usize {
    let ids = "SELECT id FROM orders UNION SELECT order_id FROM order_events";
    let ids: Vec<Uuid> = sqlx::query_scalar(ids).fetch_all(world.service.pool()).await.unwrap();
    for id in &ids {
        assert!(!world.history((*id).into()).await.is_empty(), "{id} has no events");
    }
    ids.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_read_model_is_mended_while_orders_are_placed_and_settled() {
    let world = Arc::new(World::start().await);
    let mut damaged = Vec::new();
    for _ in 0..DAMAGE.len() + 4 {
        damaged.push(world.place().await);
    }
    for (order, sql) in damaged.iter().zip(DAMAGE) {
        damage(&world, *order, sql).await;
    }
    let mut busy = Vec::new();
    for _ in 0..2 {
        let world = Arc::clone(&world);
        busy.push(tokio::spawn(async move {
            for _ in 0..4 {
                let order = world.place().await;
                world.service.publish(&stock_reserved(order)).await;
                world.reaches(order, "reserved").await;
                world.service.publish(&captured(order)).await;
                world.reaches(order, "paid").await;
            }
        }));
    }
    // Small batches, again and again: many chances to come between two steps.
    let mut all = Rebuilt::default();
    while busy.iter().any(|task| !task.is_finished()) {
        let rebuilt = rebuild::run(world.service.pool(), &cache(), 3).await.unwrap();
        assert_eq!(rebuilt.impossible, []);
        assert_eq!(rebuilt.read, rebuilt.changed + rebuilt.removed + rebuilt.unchanged);
        (all.changed, all.removed) = (all.changed + rebuilt.changed, all.removed + rebuilt.removed);
    }
    for task in busy {
        task.await.unwrap();
    }
    // What was right is left alone, also while it changes.
    assert_eq!((all.changed, all.removed), (DAMAGE.len() - 1, 1));
    assert_eq!(compared(&world).await, DAMAGE.len() + 3 + 8);
    for order in &damaged[..DAMAGE.len() - 1] {
        assert_eq!(world.history(*order).await, ["placed"]);
    }
}

#[tokio::test]
async fn the_command_tells_what_it_did_and_changes_nothing_the_second_time() {
    let world = World::start().await;
    let (one, other) = (world.reserved().await, world.place().await);
    damage(&world, one, DAMAGE[6]).await;
    let said = world.service.command::<order::Order>("rebuild").await.unwrap();
    assert_eq!(said, "2 orders read: 1 changed, 0 removed, 1 left alone, 0 impossible");
    let said = world.service.command::<order::Order>("rebuild").await.unwrap();
    assert_eq!(said, "2 orders read: 0 changed, 0 removed, 2 left alone, 0 impossible");
    // And the orders go on.
    world.service.publish(&captured(one)).await;
    world.reaches(one, "paid").await;
    assert_eq!(world.history(other).await, ["placed"]);
}

/// A step that has appended its event and not committed is waited for, and is in the row after.
#[tokio::test]
async fn a_step_that_is_under_way_is_not_lost() {
    let world = World::start().await;
    let id = world.place().await;
    let mut tx = world.service.pool().begin().await.unwrap();
    let order = order::db::lock(&mut tx, id).await.unwrap();
    let (saga, event) = (saga(), Event::Expired {});
    saga.advance(&mut tx, order.as_ref(), &event, Cause::SYSTEM).await.unwrap();
    let pool = world.service.pool().clone();
    let rebuilding = tokio::spawn(async move { rebuild::run(&pool, &cache(), 100).await.unwrap() });
    waiting(world.service.pool(), 1).await;
    tx.commit().await.unwrap();
    let rebuilt = rebuilding.await.unwrap();
    assert_eq!((rebuilt.changed, rebuilt.unchanged), (0, 1));
    assert_eq!(world.history(id).await, ["placed", "expired"]);
}

/// Of a row that is missing two rebuilds would each make their own.
#[tokio::test]
async fn rebuilds_take_turns() {
    let world = World::start().await;
    let mut tx = world.service.pool().begin().await.unwrap();
    order::db::lock_rebuild(&mut tx).await.unwrap();
    damage(&world, world.place().await, DAMAGE[6]).await;
    let pool = world.service.pool().clone();
    let rebuilding = tokio::spawn(async move { rebuild::run(&pool, &cache(), 100).await.unwrap() });
    waiting(world.service.pool(), 1).await;
    tx.rollback().await.unwrap();
    assert_eq!(rebuilding.await.unwrap().changed, 1);
    assert_eq!(compared(&world).await, 1);
}

#[tokio::test]
async fn an_impossible_history_is_named_and_left_as_it_is() {
    let world = World::start().await;
    let (unknown, gap, fine) = (world.place().await, world.reserved().await, world.place().await);
    damage(&world, unknown, "UPDATE order_events SET type = 'lost' WHERE order_id = $1").await;
    damage(&world, gap, "UPDATE order_events SET seq = 3 WHERE order_id = $1 AND seq = 2").await;
    damage(&world, fine, DAMAGE[0]).await;
    let rows = "SELECT to_jsonb(orders) FROM orders WHERE id <> $1 ORDER BY id";
    let rows = async || -> Vec<serde_json::Value> {
        let rows = sqlx::query_scalar(rows).bind(fine.uuid());
        rows.fetch_all(world.service.pool()).await.unwrap()
    };
    let before = rows().await;
    let error = world.service.command::<order::Order>("rebuild").await.unwrap_err().to_string();
    assert!(error.starts_with("3 orders read: 1 changed, 0 removed, 0 left alone, 2 impos"));
    for id in [unknown, gap] {
        assert!(error.contains(&format!("{id} has an impossible history")), "{error}");
    }
    assert_eq!(rows().await, before);
    // One that cannot be mended keeps none of the others from it.
    assert_eq!(world.history(fine).await, ["placed"]);
}

/// The rows that a rebuild writes are those that the steps themselves have written.
#[tokio::test]
async fn a_rebuild_from_nothing_is_the_same_read_model() {
    let world = World::start().await;
    for _ in 0..5 {
        let id = world.reserved().await;
        world.tell_thrice(&captured(id)).await;
    }
    let orders = async || -> Vec<serde_json::Value> {
        let rows = sqlx::query_scalar("SELECT to_jsonb(orders) FROM orders ORDER BY id");
        rows.fetch_all(world.service.pool()).await.unwrap()
    };
    let before = orders().await;
    sqlx::query("TRUNCATE orders").execute(world.service.pool()).await.unwrap();
    let rebuilt = rebuild::run(world.service.pool(), &cache(), 2).await.unwrap();
    assert_eq!((rebuilt.read, rebuilt.changed), (5, 5));
    assert_eq!(orders().await, before);
}
