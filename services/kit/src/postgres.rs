//! The service's own database: pool, migrations, figures.

use std::time::Duration;

use contracts::env;
use prometheus::GaugeVec;
use sqlx::Connection as _;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use std::str::FromStr;
use std::sync::LazyLock;

use crate::config::{Env, FromEnv};
use crate::metric;
use crate::secret::Secret;

/// Outbox, inbox and idempotency keys, which every service with a database has.
static SHARED: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("./migrations");
    // A history of its own: the numbers of the service's migrations are the service's.
    migrator.dangerous_set_table_name("_kit_migrations");
    migrator
});

static CONNECTIONS: LazyLock<GaugeVec> = metric!(
    gauge,
    "db_client_connections",
    "Connections of the pool to Postgres, by state.",
    &["state"]
);

/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Postgres URL with credentials.
    pub url: Secret,
    /// Upper bound of the pool.
    pub max_connections: u32,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let url = env.required(env::DATABASE_URL);
        let max_connections = env.or(env::DATABASE_MAX_CONNECTIONS, 10);
        Some(Self { url: url?, max_connections: max_connections? })
    }
}

impl Settings {
    /// A pool that connects on first use, so that a service starts while its database does.
    pub fn pool(&self, service: &str) -> Result<PgPool, sqlx::Error> {
        self.pool_that_waits(service, ACQUIRE_TIMEOUT)
    }

    /// A pool for a Job: no caller is waiting, and one that gives up too soon is only begun anew
    /// later. A pod's first packets may be lost until its node has heard of its network policies.
    pub fn patient_pool(&self, service: &str) -> Result<PgPool, sqlx::Error> {
        self.pool_that_waits(service, Duration::from_secs(30))
    }

    fn pool_that_waits(&self, service: &str, patience: Duration) -> Result<PgPool, sqlx::Error> {
        Ok(PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(patience)
            .connect_lazy_with(self.options(service)?))
    }

    /// A pool beside the main one, of so many connections with settings of their own.
    pub fn pool_of<const N: usize>(
        &self,
        service: &str,
        connections: u32,
        settings: [(&'static str, &'static str); N],
    ) -> Result<PgPool, sqlx::Error> {
        Ok(PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(self.options(service)?.options(settings)))
    }

    fn options(&self, service: &str) -> Result<PgConnectOptions, sqlx::Error> {
        Ok(PgConnectOptions::from_str(self.url.expose())?
            .application_name(service)
            // A statement that outlives every request deadline is of no use.
            .options([("statement_timeout", "30s"), ("lock_timeout", "5s")]))
    }
}

/// Brings the database to the newest schema.
pub async fn migrate_up(pool: &PgPool, own: &Migrator) -> Result<(), MigrateError> {
    let mut connection = for_migrations(pool).await?;
    tolerant(&SHARED).run(&mut connection).await?;
    tolerant(own).run(&mut connection).await?;
    Ok(connection.close().await?)
}

/// A connection whose statements may take as long as the rows in the database need: no request waits for them. It still
/// waits for no lock longer than any other does, because whatever comes after it waits behind it; the Job tries again. If the
/// program goes away, so does its statement. No pool gets it back.
async fn for_migrations(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    sqlx::raw_sql("SET statement_timeout = 0; SET client_connection_check_interval = '10s'")
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// An older program meets a newer schema when an image is rolled back. Migrations expand before they
/// contract, so it can live there, and what it does not know is left alone.
fn tolerant(known: &Migrator) -> Migrator {
    let mut migrator = Migrator::with_migrations(known.iter().cloned().collect());
    migrator.dangerous_set_table_name(known.table_name.clone());
    migrator.set_ignore_missing(true);
    migrator
}

/// Takes back the last migrations of the service itself; data in what they made is lost.
pub async fn migrate_down(pool: &PgPool, own: &Migrator, steps: usize) -> Result<(), MigrateError> {
    let applied = applied(pool, own).await?;
    let keep = applied.len().saturating_sub(steps);
    let target = keep.checked_sub(1).and_then(|last| applied.get(last)).copied().unwrap_or(0);
    let mut connection = for_migrations(pool).await?;
    own.undo(&mut connection, target).await?;
    Ok(connection.close().await?)
}

/// One line per migration of the service: version, name, applied or pending.
pub async fn migrate_status(pool: &PgPool, own: &Migrator) -> Result<Vec<String>, MigrateError> {
    let applied = applied(pool, own).await?;
    let ups = own.iter().filter(|migration| migration.migration_type.is_up_migration());
    Ok(ups
        .map(|migration| {
            let state = if applied.contains(&migration.version) { "applied" } else { "pending" };
            format!("{:04} {} {state}", migration.version, migration.description)
        })
        .collect())
}

async fn applied(pool: &PgPool, own: &Migrator) -> Result<Vec<i64>, MigrateError> {
    let mut connection = pool.acquire().await?;
    connection.ensure_migrations_table(&own.table_name).await?;
    let applied = connection.list_applied_migrations(&own.table_name).await?;
    Ok(applied.into_iter().map(|migration| migration.version).collect())
}

/// Whether the database answers, for readiness.
pub async fn ping(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT 1").execute(pool).await.map(|_| ())
}

/// Brings the figures about the pool up to date.
pub fn observe(pool: &PgPool) {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    CONNECTIONS.with_label_values(&["idle"]).set(f64::from(idle));
    CONNECTIONS.with_label_values(&["used"]).set(f64::from(pool.size().saturating_sub(idle)));
}

/// Name of the constraint that a statement has violated, if that is why it failed.
pub fn violated(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::constraint)
}
