//! The backups that a service's database was filled from. What others know of the time after a backup, the service has
//! to ask them for.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Creates the table, in a database that may be older than it.
pub const TABLE: &str = include_str!("../migrations/0002_restorations.up.sql");

/// As of when the data of the last restoration were; none: the database has only data of its own.
pub async fn last(connection: &mut PgConnection) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("SELECT max(backup_at) FROM restorations").fetch_one(connection).await
}

/// As of when the data were that have not been compared with what others know.
pub async fn unreconciled(connection: &mut PgConnection) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("SELECT min(backup_at) FROM restorations WHERE reconciled_at IS NULL")
        .fetch_one(connection)
        .await
}

/// Records that the data of all restorations were compared.
pub async fn mark_reconciled(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("UPDATE restorations SET reconciled_at = now() WHERE reconciled_at IS NULL")
        .execute(connection)
        .await?;
    Ok(())
}
