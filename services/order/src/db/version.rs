//! Versions of what is made of many rows: the numbers of transactions, which only grow
//! (<https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT>).

use sqlx::PgConnection;

/// The number of this transaction.
pub async fn transaction(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT pg_current_xact_id()::text::bigint AS "number!""#)
        .fetch_one(connection)
        .await
}

/// The number up to which every transaction has ended; what is read next sees what they have done.
pub async fn settled(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 AS "number!""#
    )
    .fetch_one(connection)
    .await
}
