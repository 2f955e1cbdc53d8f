//! Statements that must not grow with what is stored.

use std::iter;

use sqlx::{AssertSqlSafe, PgPool};

/// A number of its own: a larger [`crate::purge::BATCH`] is to be noticed.
const MAX_ROWS: i64 = 5_000;

/// Fails every later statement that changes or removes more rows of one of these tables than a batch has.
pub async fn refuse_large_statements(pool: &PgPool, tables: &[&str]) {
    let function = format!(
        "CREATE FUNCTION refuse_large_statement() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE rows bigint := (SELECT count(*) FROM before);
         BEGIN
             IF rows > {MAX_ROWS} THEN
                 RAISE EXCEPTION 'one % is of % rows of %', TG_OP, rows, TG_TABLE_NAME;
             END IF;
             RETURN NULL;
         END $$;"
    );
    // A trigger with a transition table is for one kind of statement.
    let kinds = tables.iter().flat_map(|table| ["update", "delete"].map(|kind| (table, kind)));
    let triggers = kinds.map(|(table, kind)| {
        format!(
            "CREATE TRIGGER refuse_large_{kind} AFTER {kind} ON {table}
             REFERENCING OLD TABLE AS before
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_large_statement();"
        )
    });
    let sql: String = iter::once(function).chain(triggers).collect();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("the tables exist");
}
