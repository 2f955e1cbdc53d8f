//! Migrations of databases that are large and in use.

use std::borrow::Cow;
use std::time::Duration;

use kit::testing::Running;
use kit::{Service as _, postgres};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::purge::{Tables, impatient};

/// What statements of the service may take here.
const TIMEOUT: Duration = Duration::from_millis(200);

/// The migrations of the service, and one that is made of these statements.
fn with_another(up: &'static str, down: &'static str) -> Migrator {
    let step = |kind, sql: &'static str| {
        Migration::new(2, Cow::Borrowed("another"), kind, sql.into_sql_str(), false)
    };
    let another =
        [step(MigrationType::ReversibleUp, up), step(MigrationType::ReversibleDown, down)];
    let before = Tables::migrator().unwrap().iter().cloned();
    Migrator::with_migrations(before.chain(another).collect())
}

#[tokio::test]
async fn a_migration_may_take_longer_than_a_statement_of_the_service() {
    let running = Running::start::<Tables>(&[("KAFKA_BROKERS", "")]).await;
    let pool = impatient(running.pool(), TIMEOUT).await;
    let slow = with_another("SELECT pg_sleep(0.6)", "SELECT pg_sleep(0.6)");
    postgres::migrate_up(&pool, &slow).await.unwrap();
    let status = postgres::migrate_status(&pool, &slow).await.unwrap();
    assert_eq!(status[1], "0002 another applied");
    postgres::migrate_down(&pool, &slow, 1).await.unwrap();
    // The service's own connections are as they were.
    let cut_off = sqlx::query("SELECT pg_sleep(60)").execute(&pool).await.unwrap_err();
    let code = cut_off.as_database_error().and_then(|error| error.code().map(Cow::into_owned));
    assert_eq!(code.as_deref(), Some("57014"), "{cut_off}");
}

/// Whatever comes after a statement that waits for a table waits behind it.
#[tokio::test]
async fn a_migration_waits_for_no_lock_longer_than_other_statements() {
    let running = Running::start::<Tables>(&[("KAFKA_BROKERS", "")]).await;
    let mut reader = running.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE outbox IN ACCESS SHARE MODE").execute(&mut *reader).await.unwrap();
    let change = with_another("LOCK TABLE outbox", "SELECT 1");
    let refused = postgres::migrate_up(running.pool(), &change).await.unwrap_err();
    let told = kit::telemetry::chain(&refused);
    assert!(told.contains("lock timeout"), "{told}");
    reader.rollback().await.unwrap();
    postgres::migrate_up(running.pool(), &change).await.unwrap();
}
