//! Removing old rows, however many there are.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use kit::config::{Env, FromEnv};
use kit::testing::Running;
use kit::{App, Service, StartError, purge};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, SqlSafeStr};
use utoipa::openapi::OpenApi;

/// A service with the tables that every one has.
pub(crate) struct Tables;

impl FromEnv for Tables {
    fn from_env(_: &mut Env) -> Option<Self> {
        Some(Self)
    }
}

impl Service for Tables {
    const NAME: &'static str = "tables";
    type Config = Self;

    fn openapi() -> OpenApi {
        kit::openapi::document("Tables", "A test.")
    }

    fn migrator() -> Option<&'static Migrator> {
        static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
            let (name, up) = (Cow::Borrowed("tables"), MigrationType::Simple);
            let sql = "SELECT 1".into_sql_str();
            Migrator::with_migrations(vec![Migration::new(1, name, up, sql, false)])
        });
        Some(&MIGRATOR)
    }

    async fn build(_: Self, app: App) -> Result<App, StartError> {
        Ok(app)
    }
}

async fn count(pool: &PgPool, table: &'static str) -> i64 {
    let rows = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_one(pool).await.unwrap()
}

/// A pool whose statements may take so long.
pub(crate) async fn impatient(pool: &PgPool, timeout: Duration) -> PgPool {
    let timeout = format!("{}ms", timeout.as_millis());
    let options = pool.connect_options().as_ref().clone();
    let options = options.options([("statement_timeout", timeout)]);
    PgPoolOptions::new().connect_with(options).await.unwrap()
}

#[tokio::test]
async fn three_million_old_rows_are_removed_within_the_statement_timeout() {
    let running = Running::start::<Tables>(&[("KAFKA_BROKERS", "")]).await;
    let pool = running.pool();
    // Indexes are made after the rows, and nothing is logged: the filling is not the test.
    let fill = "SET statement_timeout = 0;
        ALTER TABLE inbox SET UNLOGGED;
        ALTER TABLE inbox DROP CONSTRAINT inbox_pkey;
        DROP INDEX inbox_received;
        INSERT INTO inbox (consumer, event_id, received_at)
        SELECT 'c', lpad(to_hex(n), 32, '0')::uuid, now() - interval '60 days' + n * interval '1 s'
        FROM generate_series(1, 3000000) n;
        ALTER TABLE inbox ADD PRIMARY KEY (consumer, event_id);
        CREATE INDEX inbox_received ON inbox (received_at);
        ANALYZE inbox;
        INSERT INTO inbox (consumer, event_id) VALUES ('c', gen_random_uuid());
        RESET statement_timeout";
    sqlx::raw_sql(fill).execute(&mut *pool.acquire().await.unwrap()).await.unwrap();
    // One statement for all of them takes more than twice as long, and a batch a few milliseconds. Services have 30 s.
    purge::run(&impatient(pool, Duration::from_secs(1)).await).await.unwrap();
    assert_eq!(count(pool, "inbox").await, 1);
}

#[tokio::test]
async fn only_what_is_old_is_removed_and_nothing_that_was_not_sent() {
    let running = Running::start::<Tables>(&[("KAFKA_BROKERS", "")]).await;
    let pool = running.pool();
    let fill = "INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, created_at, published_at)
        SELECT gen_random_uuid(), 'review', gen_random_uuid(), 't', '{}', now() - age, now() - published
        FROM (VALUES (interval '8 days', interval '8 days'), ('8 days', NULL), ('8 days', '6 days')) v (age, published),
             generate_series(1, 6000);
        INSERT INTO inbox (consumer, event_id, received_at)
        SELECT 'c', gen_random_uuid(), now() - age
        FROM (VALUES (interval '15 days'), ('13 days')) v (age), generate_series(1, 6000);
        INSERT INTO idempotency_keys (user_id, key, request_hash, status, body, created_at)
        SELECT gen_random_uuid(), 'k', '', 200, '{}', now() - age
        FROM (VALUES (interval '25 hours'), ('23 hours')) v (age), generate_series(1, 6000)";
    sqlx::raw_sql(fill).execute(pool).await.unwrap();
    purge::run(pool).await.unwrap();
    assert_eq!(count(pool, "outbox").await, 12_000);
    assert_eq!(count(pool, "outbox WHERE published_at IS NULL").await, 6_000);
    assert_eq!(count(pool, "inbox").await, 6_000);
    assert_eq!(count(pool, "idempotency_keys").await, 6_000);
}
