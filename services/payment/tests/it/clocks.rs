//! The database's clock is set back: what was put off seems to be put off for a day.

use kit::worker::Wake;
use sqlx::PgPool;

use crate::world::{given_back, handle, quiet, refund, reserved, status, worker};

/// As if the clock had been so many hours ahead when the next attempts were put off.
async fn set_back(pool: &PgPool, hours: i32) {
    for table in ["payments", "refunds"] {
        let sql = format!(
            "UPDATE {table} SET next_attempt_at = next_attempt_at + make_interval(hours => $1)"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(hours).execute(pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_holds_up_neither_charge_nor_refund() {
    for hours in [1, 24] {
        let (pool, order) = (quiet().await, reserved("tok_timeout", 100));
        handle(&pool, &order).await.unwrap();
        set_back(&pool, hours).await;
        assert_eq!(worker(&pool).round().await.unwrap(), 1, "the outcome is not known");
        set_back(&pool, hours).await;
        assert_eq!(worker(&pool).round().await.unwrap(), 1);
        assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("captured"));
        handle(&pool, &refund(&order, 100)).await.unwrap();
        set_back(&pool, hours).await;
        assert_eq!(worker(&pool).round().await.unwrap(), 1);
        assert_eq!(given_back(&pool).await, (100, 1));
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_a_day_lets_nothing_be_owed_longer() {
    let (pool, order) = (quiet().await, reserved("tok_visa", 100));
    handle(&pool, &order).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    let books = "UPDATE test_provider.charges SET amount = $1";
    sqlx::query(books).bind(40_i64).execute(&pool).await.unwrap();
    handle(&pool, &refund(&order, 100)).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    sqlx::query(books).bind(100_i64).execute(&pool).await.unwrap();
    set_back(&pool, 24).await;
    assert_eq!(worker(&pool).reopen(&Wake::default()).await.unwrap(), 1);
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(given_back(&pool).await, (100, 1));
}
