//! Whatever happens, the movements of a SKU replay to its row, and the rules of the domain allow
//! each of them.

use std::time::Duration;

use inventory::db::{self, Reason};
use inventory::stock;
use inventory::stock::{Demand, Kind, Levels, State};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{PgConnection, PgPool};

use crate::world::{Order, levels, sku, start, supply};

const SKUS: [&str; 3] = ["A", "B", "C"];
const ORDERS: usize = 4;

#[derive(Clone, Debug)]
enum Op {
    Supply(usize, i64),
    Adjust(usize, i64),
    Reserve(usize, Vec<(usize, u32)>),
    Settle(usize, Kind),
}

fn op() -> impl Strategy<Value = Op> {
    let kinds = prop_oneof![Just(Kind::Release), Just(Kind::Commit), Just(Kind::Return)];
    prop_oneof![
        (0..SKUS.len(), 1..20_i64).prop_map(|(sku, n)| Op::Supply(sku, n)),
        (0..SKUS.len(), -10..10_i64).prop_map(|(sku, n)| Op::Adjust(sku, n)),
        (0..ORDERS, prop::collection::vec((0..SKUS.len(), 1..6_u32), 1..4))
            .prop_map(|(order, lines)| Op::Reserve(order, lines)),
        (0..ORDERS, kinds).prop_map(|(order, kind)| Op::Settle(order, kind)),
    ]
}

/// Does it as the service would; what the state forbids is left out.
async fn perform(tx: &mut PgConnection, orders: &mut [Order], op: Op) -> sqlx::Result<()> {
    let reason = Reason::default();
    match op {
        Op::Supply(at, quantity) => {
            db::supply(tx, &sku(SKUS[at]), quantity, None, &reason).await?;
        }
        Op::Adjust(_, 0) => {}
        Op::Adjust(at, delta) => {
            db::adjust(tx, &sku(SKUS[at]), delta, &reason).await?;
        }
        Op::Reserve(at, lines) => {
            let lines: Vec<_> = lines.iter().map(|(at, n)| (SKUS[*at], *n)).collect();
            orders[at] = Order::of(&lines);
            let order = &orders[at];
            let demand = Demand::of(&order.placed().lines).unwrap();
            db::open(tx, order.id, Duration::from_mins(1)).await?;
            if !db::reserve(tx, order.id, &demand).await?.shortages.is_empty() {
                db::set_state(tx, order.id, State::Rejected).await?;
            }
        }
        Op::Settle(at, kind) => {
            let order = orders[at].id;
            let next = match (db::lock(tx, order).await?, kind) {
                (Some(State::Pending), Kind::Release) => State::Released,
                (Some(State::Pending), Kind::Commit) => State::Committed,
                (Some(State::Committed), Kind::Return) => State::Returned,
                _ => return Ok(()),
            };
            db::settle(tx, order, kind).await?;
            db::set_state(tx, order, next).await?;
        }
    }
    Ok(())
}

async fn replay(pool: &PgPool, code: &str) -> Levels {
    let movements: Vec<(stock::Kind, i64)> =
        sqlx::query_as("SELECT kind, quantity FROM movements WHERE sku = $1 ORDER BY id")
            .bind(code)
            .fetch_all(pool)
            .await
            .unwrap();
    movements.into_iter().fold(Levels::default(), |levels, (kind, quantity)| {
        levels.after(kind, quantity).expect("every movement is possible when it happens")
    })
}

async fn check(pool: &PgPool, history: Vec<Op>) {
    let mut orders: Vec<Order> = (0..ORDERS).map(|_| Order::of(&[])).collect();
    for op in history {
        let mut tx = pool.begin().await.unwrap();
        match perform(&mut tx, &mut orders, op).await {
            Ok(()) => tx.commit().await.unwrap(),
            // Taking away more than there is.
            Err(error) => {
                assert_eq!(kit::postgres::violated(&error), Some("stock_available_not_negative"));
            }
        }
    }
    for code in SKUS {
        assert_eq!(replay(pool, code).await, levels(pool, code).await, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn movements_replay_to_the_stock() {
    let running = start().await;
    let pool = running.pool().clone();
    for code in SKUS {
        supply(&pool, code, 5).await;
    }
    let handle = tokio::runtime::Handle::current();
    // The histories follow one another on the same stock, which makes one long one.
    let checked =
        tokio::task::spawn_blocking(move || {
            TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() })
                .run(&prop::collection::vec(op(), 1..30), |history| {
                    handle.block_on(check(&pool, history));
                    Ok(())
                })
        });
    checked.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_history_cannot_be_rewritten() {
    let running = start().await;
    let pool = running.pool();
    supply(pool, "A", 5).await;
    for forbidden in
        ["UPDATE movements SET note = 'x'", "DELETE FROM movements", "TRUNCATE movements"]
    {
        let error = sqlx::query(forbidden).execute(pool).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{forbidden}: {error}");
    }
    let wrong = "INSERT INTO movements (sku, kind, quantity, available_delta, reserved_delta)
                 VALUES ('A', 'supply', 5, 4, 0)";
    let error = sqlx::query(wrong).execute(pool).await.unwrap_err();
    assert_eq!(kit::postgres::violated(&error), Some("movements_kind"));
}
