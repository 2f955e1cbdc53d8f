//! Values that only Postgres can refuse.

use chrono::{DateTime, Utc};
use kit::Problem;
use kit::problem::{INTERNAL, MALFORMED};
use kit::testing::engine;
use sqlx::PgPool;

#[tokio::test]
async fn what_postgres_cannot_store_is_the_clients_fault() {
    let pool = PgPool::connect(&engine("TEST_DATABASE_URL")).await.unwrap();
    let time = sqlx::query("SELECT $1::timestamptz").bind(DateTime::<Utc>::MIN_UTC);
    let text = sqlx::query("SELECT $1::text").bind("a\0b");
    let number = sqlx::query("SELECT ($1::bigint * 1000000)::int").bind(i64::from(i32::MAX));
    for (what, statement) in [("time", time), ("text", text), ("number", number)] {
        let error = statement.execute(&pool).await.unwrap_err();
        assert_eq!(Problem::from(error).kind(), MALFORMED, "{what}");
    }
    let bug = sqlx::query("SELECT 1 / 0").execute(&pool).await.unwrap_err();
    assert_eq!(Problem::from(bug).kind(), INTERNAL);
}
